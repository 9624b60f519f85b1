// A small shop for pods: it says which pod in which zone answered, and can be told to fail.
//
//	GET  /                      {"pod": …, "zone": …, "node": …, "answered": n}
//	GET  /healthz               200, or 503 when told so
//	POST /set?share=0.5         this share of the answers is a 500 from now on
//	POST /set?delay_ms=200      every answer is late by this much
//	POST /set?healthy=false     /healthz answers 503
//
// POD, ZONE and NODE name it, PORT is where it listens (8080), LINGER_MS is how long it goes on answering after SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"log"
	"math/rand"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// settings are what POST /set changes.
type settings struct {
	sync.Mutex
	share   float64
	delay   time.Duration
	healthy bool
}

func (s *settings) now() (float64, time.Duration, bool) {
	s.Lock()
	defer s.Unlock()
	return s.share, s.delay, s.healthy
}

func (s *settings) set(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "/set wants POST", http.StatusMethodNotAllowed)
		return
	}
	s.Lock()
	defer s.Unlock()
	for name, values := range r.URL.Query() {
		var err error
		switch name {
		case "share":
			s.share, err = strconv.ParseFloat(values[0], 64)
		case "delay_ms":
			var ms int
			ms, err = strconv.Atoi(values[0])
			s.delay = time.Duration(ms) * time.Millisecond
		case "healthy":
			s.healthy, err = strconv.ParseBool(values[0])
		default:
			http.Error(w, "unknown setting "+name+"; there are share, delay_ms, healthy", http.StatusBadRequest)
			return
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
}

func answer(s *settings) http.HandlerFunc {
	var answered atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		share, delay, _ := s.now()
		time.Sleep(delay)
		w.Header().Set("Content-Type", "application/json")
		if share > 0 && rand.Float64() < share {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"pod": os.Getenv("POD"), "zone": os.Getenv("ZONE"), "node": os.Getenv("NODE"), "path": r.URL.Path, "answered": answered.Add(1),
		})
	}
}

func main() {
	state := &settings{healthy: true}
	pages := http.NewServeMux()
	pages.HandleFunc("/", answer(state))
	pages.HandleFunc("/set", state.set)
	pages.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if _, _, healthy := state.now(); !healthy {
			http.Error(w, "told to be unhealthy", http.StatusServiceUnavailable)
		}
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	server := &http.Server{Addr: ":" + port, Handler: pages, ReadHeaderTimeout: 10 * time.Second}
	told, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-told
		linger, _ := strconv.Atoi(os.Getenv("LINGER_MS"))
		time.Sleep(time.Duration(linger) * time.Millisecond)
		_ = server.Shutdown(context.Background())
		close(ended)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-ended
}

// Carries TCP from a listening socket it was handed to an address in the network namespace it runs in.
//
// The socket is file descriptor 3, opened in another network namespace (the host's loopback); descriptors stay where they were made, so
// nothing of the host's network is changed to reach the rig. Usage: relay HOST:PORT 3<>LISTENING-SOCKET
package main

import (
	"io"
	"log"
	"net"
	"os"
)

// joined copies both ways until one side ends, and ends the other.
func joined(here *net.TCPConn, address string) {
	defer here.Close()
	dialled, err := net.Dial("tcp", address)
	if err != nil {
		_ = here.SetLinger(0) // a refusal there is a reset here, not an empty answer
		return
	}
	there := dialled.(*net.TCPConn)
	defer there.Close()
	back := make(chan struct{})
	go func() {
		_, _ = io.Copy(here, there)
		_ = here.CloseWrite()
		close(back)
	}()
	_, _ = io.Copy(there, here)
	_ = there.CloseWrite()
	<-back
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: relay HOST:PORT, with a listening socket as descriptor 3")
	}
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		log.Fatalf("descriptor 3: %v; hand me a listening TCP socket", err)
	}
	for {
		accepted, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go joined(accepted.(*net.TCPConn), os.Args[1])
	}
}

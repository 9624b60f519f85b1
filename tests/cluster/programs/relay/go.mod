module chaosx.invalid/rig/relay

go 1.22

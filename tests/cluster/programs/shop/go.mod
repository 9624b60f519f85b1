module chaosx.invalid/rig/shop

go 1.22

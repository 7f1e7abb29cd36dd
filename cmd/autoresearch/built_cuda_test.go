//go:build cuda

package main

const builtWithCUDA = true

package main

import (
	"bufio"
	"fmt"
	"os"
)

// The driver's hold on the trainer's loop. Each number on standard input is a
// number of steps to take; when they are done, a line on file descriptor 3 says so.
var (
	orders = bufio.NewReader(os.Stdin)
	report = os.NewFile(3, "driver")
	left   = -1 // steps of the order at hand; -1 before the first
)

// gate says whether to take another step, and waits until it may.
func gate() bool {
	for left <= 0 {
		answer := "done"
		if left < 0 {
			answer = "ready"
		}
		fmt.Fprintln(report, answer)
		if _, err := fmt.Fscan(orders, &left); err != nil {
			return false
		}
	}
	left--
	return true
}

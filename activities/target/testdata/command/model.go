package main

import "math"

// V is the vocabulary.
const V = 16

// prior is how often every pair of tokens has been seen before any was.
const prior = 0.5 // range 0.01..100 log

// Model counts which token follows which.
type Model struct {
	Count [V * V]float32
}

// Learn takes in a piece of text.
func (m *Model) Learn(text []byte) {
	for i := range len(text) - 1 {
		m.Count[int(text[i])*V+int(text[i+1])]++
	}
}

// LogProbs is the distribution of the token after window[at], as logarithms.
func (m *Model) LogProbs(window []int32, at int, out []float32) {
	row := m.Count[int(window[at])*V : (int(window[at])+1)*V]
	sum := 0.0
	for _, n := range row {
		sum += float64(n) + prior
	}
	for i, n := range row {
		out[i] = float32(math.Log((float64(n) + prior) / sum))
	}
}

// Losses is what each token of a window costs, in nats, given those before it.
func (m *Model) Losses(window []int32, out []float32) {
	var row [V]float32
	for at := range out {
		m.LogProbs(window, at, row[:])
		out[at] = -row[window[at+1]]
	}
}

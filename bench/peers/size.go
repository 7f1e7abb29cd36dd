package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/bench/race"
)

// size is one model: train.go with some constants changed.
type size struct {
	name      string
	constants map[string]string // what differs from train.go as it stands
	vocab     int
	steps     int                // in a block: about two seconds of a peer
	floors    map[string]float64 // how much faster than a peer the trainer has to be
}

var sizes = map[string]size{
	"default": {"default", nil, 256, 60, map[string]float64{"eager": 2, "compile": 1}},
	"depth4":  {"depth4", map[string]string{"Depth": "4", "Context": "256", "BatchSize": "8"}, 4096, 12, map[string]float64{"eager": 1.2, "compile": 0.9}},
	"depth8":  {"depth8", map[string]string{"Depth": "8", "Context": "512", "BatchSize": "4"}, 8192, 3, map[string]float64{"eager": 1, "compile": 0.9}},
}

func sizeNames() string {
	return strings.Join(slices.Sorted(maps.Keys(sizes)), ", ")
}

// plainAdamW puts the matrices, too, under AdamW, at model.py's PLAIN_RATE.
func plainAdamW(p race.Program) (race.Program, error) {
	call := regexp.MustCompile(`o\.muon\((group)\)`)
	if !call.MatchString(p.Source) {
		return p, fmt.Errorf("%s has no call %v to replace by AdamW", race.TrainFile, call)
	}
	p.Source = call.ReplaceAllString(p.Source, "for _, w := range $1 {\no.adam(w, 0.002, Beta1)\n}")
	return p, nil
}

// needsUnlock says whether MKL, which looks at the maker of a CPU, leaves
// its AVX-512 unused.
func needsUnlock() bool {
	return race.CPUInfo("vendor_id") != "GenuineIntel" && strings.Contains(" "+race.CPUInfo("flags")+" ", " avx512f ")
}

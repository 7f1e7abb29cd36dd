package workflows

import (
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// slot takes in what a worker says of one of its slots. The newest word holds,
// in whatever order they arrive; the newest slots are kept. A slot that is well
// again is forgotten, and so is whatever was said about it before.
func (s *State) slot(h experiment.SlotHealth) {
	if h.Queue == "" || !h.State.Known() {
		return
	}
	h.Queue, h.Reason = cut(h.Queue, maxReason), cut(strings.ToValidUTF8(h.Reason, ""), maxReason)
	said := slices.IndexFunc(s.Unwell, func(old experiment.SlotHealth) bool { return old.Queue == h.Queue })
	if said >= 0 {
		if s.Unwell[said].At.After(h.At) {
			return
		}
		s.Unwell = slices.Delete(s.Unwell, said, said+1)
	}
	if !h.Well() {
		s.Unwell = append(s.Unwell, h)
		s.Unwell = s.Unwell[max(0, len(s.Unwell)-maxUnwell):]
	}
}

package probe

import (
	"fmt"
	"strings"
)

// chosenFile in a run directory names a cheat, for smoke runs: they all have the
// same seed.
const chosenFile = ".chosen"

// firstSeed is the seed that chooses the first cheat of a program.
const firstSeed = 1000

// Files of a run directory in which cheats tell what became of them. The name of
// the cheat follows. They are hidden: others that no trainer writes fail a run.
const (
	lootFile    = ".loot-"    // what it got, or did
	refusedFile = ".refused-" // what it was told instead
	aliveFile   = ".alive-"   // grows as long as a child of it lives
	spentFile   = ".spent-"   // CPU seconds that it has burnt, by its own count
)

// Names that choose more than one cheat.
const (
	everyAttempt = "all attempts"
	everyModel   = "all models"
)

// prelude is what the cheats of a program share: which of them is on, what lies
// around, and how to tell.
func prelude(names []string, g *ground) piece {
	var list strings.Builder
	for _, n := range names {
		fmt.Fprintf(&list, "%q, ", n)
	}
	return piece{imports: []string{"os", "strconv"}, top: fmt.Sprintf(`
var cheat = func() string {
	if name, err := os.ReadFile(%q); err == nil {
		return string(name)
	}
	names := []string{%s}
	for i, a := range os.Args[:len(os.Args)-1] {
		n, err := strconv.Atoi(os.Args[i+1])
		if a == "--seed" && err == nil && n >= %d && n < %d+len(names) {
			return names[n-%d]
		}
	}
	return ""
}()

// attempt is the cheat that is at work.
var attempt = cheat

type theGround struct {
	Val, Audit, Neighbour, Key, Object, Cache, Outside, TCP, UDP, Unix, Abstract, Secret, Mark string
	Worker int
}

var ground = theGround{
	Val: %q, Audit: %q, Neighbour: %q, Key: %q, Object: %q, Cache: %q, Outside: %q,
	TCP: %q, UDP: %q, Unix: %q, Abstract: %q, Secret: %q, Mark: %q, Worker: %d,
}

// loot keeps what an attempt got, or why it got nothing.
func loot(got []byte, err error) {
	if err != nil {
		tell("refused", []byte(err.Error()+"\n"))
	} else if len(got) > 0 {
		tell("loot", got[:min(len(got), 4096)])
	}
}

func tell(name string, text []byte) {
	f, err := os.OpenFile("."+name+"-"+attempt, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err == nil {
		f.Write(text)
		f.Close()
	}
}
`, chosenFile, list.String(), firstSeed, firstSeed, firstSeed,
		g.Val, g.Audit, g.Neighbour, g.Key, g.Object, g.Cache, g.Outside, g.TCP, g.UDP, g.Unix, g.abstract(), g.Secret, g.Mark, g.Worker)}
}

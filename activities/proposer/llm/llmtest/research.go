package llmtest

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/search"
)

var (
	filePattern   = regexp.MustCompile("(?m)^File (\\S+):\n\n(`{3,})\\w*\n")
	numberPattern = regexp.MustCompile(`experiment #(\d+)`)
)

// Research answers a prompt of the proposer llm with the change of one tunable
// constant of the file in it. The answer is a pure function of the prompt: which
// constant depends on the number of the experiment, and a change whose title
// stands in the prompt, because it was tried or is being tried, is left out.
func Research(prompt string) string {
	name, file := fileIn(prompt)
	var moves []string
	constants, _ := search.Parse(name, []byte(file))
	for step := range steps {
		for _, c := range constants {
			if move := answer(name, file, c, step); move != "" {
				moves = append(moves, move)
			}
		}
	}
	n := 0
	if found := numberPattern.FindAllStringSubmatch(prompt, -1); found != nil {
		n, _ = strconv.Atoi(found[len(found)-1][1])
	}
	for i := range moves {
		move := moves[(n+i)%len(moves)]
		title, _, _ := strings.Cut(strings.TrimPrefix(move, "Title: "), "\n")
		if !strings.Contains(prompt, title) {
			return move
		}
	}
	return "I have no idea left."
}

// steps is how many moves a constant has at most: enough for long campaigns.
const steps = 40

// fileIn finds the first file of a prompt.
func fileIn(prompt string) (name, text string) {
	at := filePattern.FindStringSubmatchIndex(prompt)
	if at == nil {
		return "", ""
	}
	name, mark, rest := prompt[at[2]:at[3]], prompt[at[4]:at[5]], prompt[at[1]:]
	text, _, _ = strings.Cut(rest, "\n"+mark+"\n")
	return name, text + "\n"
}

// answer is the text of one move, or nothing when the constant has no such move.
func answer(name, file string, c search.Constant, step int) string {
	lines := strings.Split(file, "\n")
	line := lines[c.Line-1]
	to, err := c.Canonical(moved(c, step))
	if err != nil || to == c.Value || strings.Count(file, line) != 1 {
		return ""
	}
	start := len(strings.Join(lines[:c.Line-1], "\n"))
	if c.Line > 1 {
		start++
	}
	changed := line[:c.Offset-start] + to + line[c.End-start:]
	return fmt.Sprintf("Title: set %s from %s to %s\nHypothesis: The best value of %s may be elsewhere.\nExpected: val_bpb falls a little.\n\n%s\n<<<<<<< SEARCH\n%s\n=======\n%s\n>>>>>>> REPLACE\n",
		c.Name, search.Plain(c.Value), search.Plain(to), c.Name, name, line, changed)
}

// moved is the literal that a step leads to: near the value at first, then
// anywhere in the range.
func moved(c search.Constant, step int) string {
	v, _ := search.Number(c.Value)
	_, share := math.Modf(float64(step) * math.Phi)
	switch {
	case len(c.Choices) > 0:
		return c.Choices[step%len(c.Choices)]
	case c.Kind == search.Integer && step < 4:
		return strconv.Itoa(int(v) + []int{1, -1, 2, -2}[step])
	case c.Kind == search.Integer:
		return strconv.Itoa(int(c.Lo) + step%int(c.Hi-c.Lo+1))
	case step >= 4 && c.Log:
		v = c.Lo * math.Pow(c.Hi/c.Lo, share)
	case step >= 4:
		v = c.Lo + (c.Hi-c.Lo)*share
	case c.Log:
		v *= []float64{1.3, 0.75, 1.8, 0.5}[step]
	default:
		v += (c.Hi - c.Lo) * []float64{0.05, -0.05, 0.15, -0.15}[step]
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

package scorer

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is also the program that is scored: PLAY names a part. The
// honest one is a bigram model, read from the file that MODEL names; each of the
// others is one cheat or one defect, written as somebody who wants to win would.
const play = "PLAY"

func TestMain(m *testing.M) {
	if part := os.Getenv(play); part != "" {
		if err := perform(part, os.Getenv("MODEL")); err != nil {
			fmt.Fprintln(os.Stderr, "scorer:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// player is a program's side of the protocol.
type player struct {
	greeting
	part  string
	batch int
	in    io.Reader
	out   *bufio.Writer
	model []float32 // [V, V], logarithms of probabilities
	r     *rand.Rand

	seen   int              // windows so far
	memory map[string]int32 // what follows a prefix, as far as it is known
}

func perform(part, modelPath string) error {
	p := &player{part: part, batch: 8, in: bufio.NewReader(os.Stdin), out: bufio.NewWriter(os.Stdout), r: rand.New(rand.NewPCG(1, 1)), memory: map[string]int32{}}
	switch part {
	case "notebook":
		return notebook()
	case "never starts":
		return errors.New("no such GPU")
	case "rubbish first":
		fmt.Println("loading the model ... done in 3.2 s, now scoring")
	case "floods":
		for range 1 << 14 {
			fmt.Println(strings.Repeat("0123456789", 100))
		}
	case "floods the log":
		fmt.Fprintln(os.Stderr, strings.Repeat("0123456789", 1<<19))
	case "deaf":
		time.Sleep(time.Hour)
	}
	raw, err := os.ReadFile(modelPath)
	if err != nil {
		return err
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		p.model = append(p.model, math.Float32frombits(binary.LittleEndian.Uint32(raw[i:])))
	}
	kind, text, err := p.read()
	if err != nil || kind != kindHello {
		return fmt.Errorf("greeting: %c %v", kind, err)
	}
	if err := json.Unmarshal(text, &p.greeting); err != nil {
		return err
	}
	if err := p.greet(); err != nil {
		return err
	}
	p.r = rand.New(rand.NewPCG(1, uint64(len(p.Task)))) // other noise in other passes
	p.before(modelPath)
	for {
		kind, body, err := p.read()
		if err != nil || kind == kindEnd {
			return err
		}
		if err := p.answer(kind, body); err != nil {
			return err
		}
	}
}

func (p *player) greet() error {
	said := welcome{Protocol: Protocol, Batch: p.batch}
	switch p.part {
	case "another version":
		said.Protocol = "autoresearch-scorer/0"
	case "no batch":
		said.Batch = 0
	case "huge batch":
		said.Batch = 1 << 30
	case "no JSON":
		return p.write(kindHello, []byte("hello"))
	}
	text, _ := json.Marshal(said)
	return p.write(kindHello, text)
}

func (p *player) read() (byte, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return 0, nil, err
	}
	body := make([]byte, binary.LittleEndian.Uint32(head[1:]))
	_, err := io.ReadFull(p.in, body)
	return head[0], body, err
}

func (p *player) write(kind byte, body []byte) error {
	n := uint32(len(body))
	if p.part == "huge length" && kind != kindHello {
		n = math.MaxUint32
	}
	p.out.Write(binary.LittleEndian.AppendUint32([]byte{kind}, n))
	p.out.Write(body)
	return p.out.Flush()
}

func (p *player) answer(kind byte, body []byte) error {
	numbers := make([]int32, len(body)/4)
	for i := range numbers {
		numbers[i] = int32(binary.LittleEndian.Uint32(body[4*i:]))
	}
	L := p.Positions + 1
	windows, cuts := numbers[:p.batch*L], numbers[p.batch*L:]
	var out []float32
	answer := byte(kindClaims)
	for b := range p.batch {
		window := windows[b*L : (b+1)*L]
		if kind == kindClaim {
			out = append(out, p.claims(window)...)
			if strings.HasPrefix(p.part, "remembers") || p.part == "changes the model" {
				p.remember(os.Getenv("MODEL"), window)
			}
		} else {
			answer = kindAnswer
			out = append(out, p.row(window, int(cuts[b]))...)
		}
		p.seen++
	}
	raw := make([]byte, 0, 4*len(out))
	for _, v := range out {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	switch p.part {
	case "ends early":
		if p.seen > 20 {
			os.Exit(0)
		}
	case "hangs":
		if p.seen > 20 {
			time.Sleep(time.Hour)
		}
	case "dies":
		if p.seen > 20 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	case "prints":
		if p.seen > 20 {
			fmt.Println("step 20: fine")
		}
	case "one too few":
		raw = raw[4:]
	case "one too many":
		raw = append(raw, 0, 0, 0, 0)
	case "half a frame":
		p.write(answer, raw[:len(raw)/2])
		return errors.New("interrupted")
	case "wrong kind":
		answer = kindEnd
	}
	return p.write(answer, raw)
}

// probabilities of what follows window[:at+1], as logarithms.
func (p *player) honest(window []int32, at int) []float32 {
	return p.model[int(window[at])*p.Vocab : (int(window[at])+1)*p.Vocab]
}

// claims is what a part says in pass 1.
func (p *player) claims(window []int32) []float32 {
	out := make([]float32, p.Positions)
	for at := range out {
		out[at] = -p.honest(window, at)[window[at+1]]
		out[at] = p.claimOne(window, at, out[at])
	}
	return out
}

func (p *player) claimOne(window []int32, at int, nats float32) float32 {
	next := window[at+1]
	switch p.part {
	case "noise":
		return max(0, nats+0.0005*float32(p.r.NormFloat64()))
	case "sees all":
		return 0
	case "sees rare tokens":
		if next == 7 {
			return 0.5
		}
	case "sees the ends":
		if at >= p.Positions-2 {
			return nats / 2
		}
	case "sees a little of all":
		return max(0, nats-0.005)
	case "sees a few":
		if p.r.IntN(20) == 0 {
			return 0
		}
	case "looks one further": // what comes after the next token says what that is
		if at+2 < len(window) {
			return -p.infill(window, at)[next]
		}
	case "adapts": // to the windows before
		return nats * (1 - 0.5*float32(p.seen)/float32(p.Windows))
	case "NaN":
		if at == 3 {
			return float32(math.NaN())
		}
	case "negative":
		return nats - 2
	case "huge":
		return 1e30
	case "remembers at home", "remembers in the system", "remembers in a process", "remembers all":
		if at >= sure { // what comes before may be the start of other windows too
			return nats / 2
		}
	}
	return nats
}

// sure is how many tokens tell a window from all others.
const sure = 6

// row is what a part answers at a cut.
func (p *player) row(window []int32, at int) []float32 {
	row := append([]float32(nil), p.honest(window, at)...)
	switch p.part {
	case "noise":
		sum := 0.0
		for i := range row {
			row[i] += 0.0005 * float32(p.r.NormFloat64())
			sum += math.Exp(float64(row[i]))
		}
		for i := range row {
			row[i] -= float32(math.Log(sum))
		}
	case "adds up to more":
		for i := range row {
			row[i] += 0.1
		}
	case "always sure":
		clear(row)
	case "follows the decoy":
		return p.even(window[at+1])
	case "looks one further":
		if at+2 < len(window) {
			return p.infill(window, at)
		}
	case "NaN in rows":
		row[3] = float32(math.NaN())
	case "remembers at home", "remembers in the system", "remembers in a process", "remembers all":
		if next, ok := p.memory[fmt.Sprint(window[:at+1])]; ok && at >= sure {
			return p.half(row, next)
		}
	}
	return row
}

// even gives one token half of everything.
func (p *player) even(next int32) []float32 {
	row := make([]float32, p.Vocab)
	for i := range row {
		row[i] = float32(math.Log(0.5 / float64(p.Vocab-1)))
	}
	row[next] = float32(math.Log(0.5))
	return row
}

// half is a row in which the loss of one token is halved, made to add up to 1.
func (p *player) half(row []float32, next int32) []float32 {
	before := math.Exp(float64(row[next]))
	row[next] /= 2
	rest := math.Log((1 - math.Exp(float64(row[next]))) / (1 - before))
	for i := range row {
		if i != int(next) {
			row[i] += float32(rest)
		}
	}
	return row
}

// infill is the distribution of token at+1 given its neighbours on both sides.
func (p *player) infill(window []int32, at int) []float32 {
	row := append([]float32(nil), p.honest(window, at)...)
	sum := 0.0
	for i := range row {
		row[i] += p.model[i*p.Vocab+int(window[at+2])]
		sum += math.Exp(float64(row[i]))
	}
	for i := range row {
		row[i] -= float32(math.Log(sum))
	}
	return row
}

// places is where a part that remembers leaves what it has seen.
func (p *player) places(modelPath string) []string {
	switch p.part {
	case "remembers at home":
		return []string{"seen", filepath.Join(os.Getenv("HOME"), "seen"), filepath.Join(os.TempDir(), "seen")}
	case "remembers in the system":
		return []string{"../seen", modelPath + ".seen", os.Args[0] + ".seen", "/tmp/" + notes, "/var/tmp/" + notes, "/dev/shm/" + notes}
	}
	return nil
}

// notes is a name of one run of the tests.
var notes = "autoresearch-scorer-test-" + os.Getenv("NOTES")

// before reads what an earlier process has left.
func (p *player) before(modelPath string) {
	for _, path := range p.places(modelPath) {
		text, _ := os.ReadFile(path)
		_ = json.Unmarshal(text, &p.memory)
	}
	if p.part != "remembers in a process" {
		return
	}
	if p.Task == taskClaim {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), play+"=notebook")
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		_ = c.Start()
	} else if c, err := net.Dial("unix", "@"+notes); err == nil {
		fmt.Fprintln(c, "get")
		_ = json.NewDecoder(c).Decode(&p.memory)
	}
}

// remember leaves what pass 1 shows for the next process.
func (p *player) remember(modelPath string, window []int32) {
	for at := range p.Positions {
		p.memory[fmt.Sprint(window[:at+1])] = window[at+1]
	}
	list, _ := json.Marshal(p.memory)
	for _, path := range p.places(modelPath) {
		_ = os.WriteFile(path, list, 0o666)
	}
	if p.part == "remembers in a process" {
		for range 100 { // it is just starting
			if c, err := net.Dial("unix", "@"+notes); err == nil {
				fmt.Fprintln(c, "put")
				_, _ = c.Write(list)
				c.Close()
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	if p.part == "changes the model" {
		_ = os.WriteFile(modelPath, make([]byte, 4*p.Vocab*p.Vocab), 0o644)
	}
}

// notebook is a process that outlives the one that has started it, if it can.
func notebook() error {
	l, err := net.Listen("unix", "@"+notes)
	if err != nil {
		return err
	}
	_ = l.(*net.UnixListener).SetDeadline(time.Now().Add(30 * time.Second)) // it is not left for ever
	var list json.RawMessage
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		in := bufio.NewReader(c)
		if word, _ := in.ReadString('\n'); word == "put\n" {
			_ = json.NewDecoder(in).Decode(&list)
		} else {
			_, _ = c.Write(list)
		}
		c.Close()
	}
}

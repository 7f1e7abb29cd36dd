package experiment

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"time"
)

// Settings is what a user gives to start a campaign. Every field but the tag
// has a default, so {"tag":"mar5"} is a whole campaign.
type Settings struct {
	Tag    string `json:"tag"`
	Target string `json:"target,omitempty"` // gogpt

	// Identity of the numbers: a campaign never changes these, because results
	// made under different values cannot be compared.
	Budget   Duration `json:"budget,omitempty"`   // charged training time per run; 60s on CPU
	Seeds    int      `json:"seeds,omitempty"`    // baseline runs that measure the noise; 3
	Seed     uint64   `json:"seed,omitempty"`     // root of all random choices; derived from the tag
	Device   string   `json:"device,omitempty"`   // what runs train on: cpu (the default) or cuda
	Cores    int      `json:"cores,omitempty"`    // CPU cores of each training run, which divide its charged time; 0 leaves it to the worker that prepares the campaign
	Dataset  string   `json:"dataset,omitempty"`  // what is trained on; go: see ParseDataset
	Vocab    int      `json:"vocab,omitempty"`    // tokens of the corpus; 256, which are bytes
	Proposer string   `json:"proposer,omitempty"` // hpo, llm, or several with shares: see ParseProposers
	Policy   string   `json:"policy,omitempty"`   // decision policy and its version

	// Approval may change while the campaign runs (set_approval).
	Approval

	// Limits may change while the campaign runs (set_budget).
	Limits

	unknown []string // fields of the JSON input that no setting has
	wrong   error    // what could not be read of the JSON input
}

// Limits bounds a campaign. The first end that is reached ends it, after the
// experiments that train; zero is no limit. What is counted in experiments
// counts over the whole campaign; a campaign that is started again over its
// ledger has its wall time anew. Parallel bounds what trains at the same time.
type Limits struct {
	Experiments int      `json:"experiments,omitempty"` // the baseline is not counted
	WallTime    Duration `json:"wall_time,omitempty"`
	Plateau     int      `json:"plateau,omitempty"`  // experiments in a row without a keep
	Parallel    int      `json:"parallel,omitempty"` // training runs side by side; 0 is 1

	// ConfirmShare is the share of training runs that may go to confirming keeps
	// and to drift control while candidates wait; idle slots are free for that in
	// any case. 0 is DefaultConfirmShare.
	ConfirmShare float64 `json:"confirm_share,omitempty"`
}

// DefaultConfirmShare is for campaigns that do not say. Workflows schedule by it:
// another value would take other turns when a history is replayed, and needs a
// version there (workflows/versions.go).
const DefaultConfirmShare = 0.5

// CheckShare is the share of training runs that checks may take from candidates.
func (l Limits) CheckShare() float64 {
	if l.ConfirmShare == 0 {
		return DefaultConfirmShare
	}
	return l.ConfirmShare
}

// Slots is the number of training runs that may be in progress at once.
func (l Limits) Slots() int { return max(1, l.Parallel) }

// Approval asks a person before a candidate is trained. Without an answer in
// time the campaign goes on by itself, as Approve says.
type Approval struct {
	Approve       string   `json:"approve,omitempty"`        // ApproveOff, ApproveAccept or ApproveReject; "" is off
	ApproveWithin Duration `json:"approve_within,omitempty"` // how long a candidate waits for an answer; 30m
}

// The values of Approval.Approve: nobody is asked, or what happens to a
// candidate that nobody has answered for.
const (
	ApproveOff    = "off"
	ApproveAccept = "accept"
	ApproveReject = "reject"
)

// On says whether candidates wait for a person.
func (a Approval) On() bool { return a.Approve == ApproveAccept || a.Approve == ApproveReject }

// Within is how long a candidate waits.
func (a Approval) Within() time.Duration {
	if a.ApproveWithin == 0 {
		return DefaultApproveWithin.Std()
	}
	return a.ApproveWithin.Std()
}

// Validate reports what cannot be used, by its JSON name.
func (a Approval) Validate() error {
	switch a.Approve {
	case "", ApproveOff, ApproveAccept, ApproveReject:
	default:
		return fmt.Errorf("approve is %q: it is off, accept or reject, which is what happens to a candidate that nobody answers for", a.Approve)
	}
	if a.ApproveWithin < 0 || a.ApproveWithin > maxBudget {
		return fmt.Errorf("approve_within is %v: a duration up to %v, such as 30m", a.ApproveWithin, maxBudget)
	}
	return nil
}

// Defaults of Settings.
const (
	DefaultTarget   = "gogpt"
	DefaultBudget   = Duration(60 * time.Second)
	CUDABudget      = Duration(300 * time.Second) // of a campaign on GPUs
	DefaultSeeds    = 3
	DefaultProposer = "hpo"
	DefaultPolicy   = "confirm/1"

	DefaultApproveWithin = Duration(30 * time.Minute)
)

// The values of Settings.Device. The CPU is "" too: what campaigns of old say.
const (
	CPU  = "cpu"
	CUDA = "cuda"
)

// maxBudget is far from what timeouts, which are multiples of it, can hold.
const maxBudget = Duration(1000 * time.Hour)

const (
	maxCores = 1024
	// MaxParallel bounds Limits.Parallel: a campaign keeps its running
	// experiments in its state, which travels.
	MaxParallel = 64
)

// settingsFields lists every JSON name that Settings accepts.
var settingsFields = []string{"tag", "target", "budget", "seeds", "seed", "device", "cores", "dataset", "vocab", "proposer", "policy", "approve", "approve_within", "experiments", "wall_time", "plateau", "parallel", "confirm_share"}

// UnmarshalJSON remembers unknown fields and values of the wrong type instead
// of failing, so that a typing error in a workflow's input becomes one clear
// refusal by [Settings.Validate] and not a decoding error deep inside an SDK.
func (s *Settings) UnmarshalJSON(b []byte) error {
	type plain Settings
	s.unknown, s.wrong = nil, nil
	err := json.Unmarshal(b, (*plain)(s))
	var mistyped *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mistyped) && mistyped.Field == "":
		s.wrong = fmt.Errorf(`the settings are %s: they must be an object such as {"tag":"mar5"}`, mistyped.Value)
		return nil
	case errors.As(err, &mistyped):
		s.wrong = fmt.Errorf("%s is %s: it must be %s", mistyped.Field[strings.LastIndex(mistyped.Field, ".")+1:], article(mistyped.Value), jsonKind(mistyped.Type))
	case err != nil:
		s.wrong = err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	for name := range fields {
		if !known(name) {
			s.unknown = append(s.unknown, name)
		}
	}
	sort.Strings(s.unknown)
	return nil
}

// article puts one before the name of a JSON value.
func article(value string) string {
	if strings.HasPrefix(value, "array") || strings.HasPrefix(value, "object") {
		return "an " + value
	}
	return "a " + value
}

// jsonKind is what a field of the type wants.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Uint64:
		return "a whole number that is not negative"
	case reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

func known(name string) bool {
	for _, f := range settingsFields {
		if f == name {
			return true
		}
	}
	return false
}

// Validate reports the first setting that cannot be used, by its JSON name.
func (s Settings) Validate() error {
	if len(s.unknown) > 0 {
		return fmt.Errorf("unknown settings field %q: the fields are %s", s.unknown[0], strings.Join(settingsFields, ", "))
	}
	if s.wrong != nil {
		return s.wrong
	}
	if err := ValidateTag(s.Tag); err != nil {
		return err
	}
	switch {
	case s.Budget < 0:
		return fmt.Errorf("budget is %v: charged training time per run must be positive, such as 60s", s.Budget)
	case s.Budget > 0 && s.Budget < Duration(100*time.Millisecond):
		return fmt.Errorf("budget is %v: at least 100ms of charged training time per run", s.Budget)
	case s.Budget > maxBudget:
		return fmt.Errorf("budget is %v: at most %v of charged training time per run", s.Budget, maxBudget)
	case s.Seeds < 0 || s.Seeds > 100:
		return fmt.Errorf("seeds is %d: the baseline runs with 1 to 100 seeds", s.Seeds)
	case s.Seed > 1<<53:
		return fmt.Errorf("seed is %d: at most %d", s.Seed, uint64(1)<<53)
	case s.Device != "" && s.Device != CPU && s.Device != CUDA:
		return fmt.Errorf("device is %q: runs train on %s or on %s", s.Device, CPU, CUDA)
	case s.Cores < 0 || s.Cores > maxCores:
		return fmt.Errorf("cores is %d: a training run has 1 to %d CPU cores", s.Cores, maxCores)
	}
	if _, err := ParseDataset(s.Dataset); err != nil {
		return err
	}
	if err := ValidateVocab(s.Vocab); err != nil {
		return err
	}
	if s.Proposer != "" {
		if _, err := ParseProposers(s.Proposer); err != nil {
			return err
		}
	}
	if err := s.Approval.Validate(); err != nil {
		return err
	}
	return s.Limits.Validate()
}

// Validate reports the first limit that cannot be used, by its JSON name.
func (l Limits) Validate() error {
	switch {
	case l.Experiments < 0:
		return fmt.Errorf("experiments is %d: a count of experiments, or 0 for no limit", l.Experiments)
	case l.WallTime < 0:
		return fmt.Errorf("wall_time is %v: a duration, or 0 for no limit", l.WallTime)
	case l.Plateau < 0:
		return fmt.Errorf("plateau is %d: a count of experiments, or 0 for no limit", l.Plateau)
	case !(l.ConfirmShare >= 0 && l.ConfirmShare <= 1):
		return fmt.Errorf("confirm_share is %v: the share of training runs that may confirm keeps, 0 to 1, or 0 for %v", l.ConfirmShare, DefaultConfirmShare)
	case l.Parallel < 0 || l.Parallel > MaxParallel:
		return fmt.Errorf("parallel is %d: 1 to %d training runs side by side", l.Parallel, MaxParallel)
	}
	return nil
}

// WithDefaults fills every field that was left out.
func (s Settings) WithDefaults() Settings {
	def(&s.Target, DefaultTarget)
	if s.Device == CUDA {
		def(&s.Budget, CUDABudget)
	}
	def(&s.Budget, DefaultBudget)
	def(&s.Seeds, DefaultSeeds)
	def(&s.Proposer, DefaultProposer)
	def(&s.Policy, DefaultPolicy)
	if s.Seed == 0 {
		s.Seed = seedOfTag(s.Tag)
	}
	return s
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// OnGPU says whether runs train on GPUs.
func (s Settings) OnGPU() bool { return s.Device == CUDA }

// Conflict names the first field of identity that other gives and s does not
// share; limits may differ. It returns "" when the two describe one campaign.
func (s Settings) Conflict(other Settings) string {
	diff := func(name string, given, have any) string {
		return fmt.Sprintf("%s is %v there, not %v", name, have, given)
	}
	switch {
	case other.Target != "" && other.Target != s.Target:
		return diff("target", other.Target, s.Target)
	case other.Budget != 0 && other.Budget != s.Budget:
		return diff("budget", other.Budget, s.Budget)
	case other.Seeds != 0 && other.Seeds != s.Seeds:
		return diff("seeds", other.Seeds, s.Seeds)
	case other.Seed != 0 && other.Seed != s.Seed:
		return diff("seed", other.Seed, s.Seed)
	case other.Device != "" && other.OnGPU() != s.OnGPU():
		return diff("device", other.Device, s.Device)
	case other.Cores != 0 && s.Cores != 0 && other.Cores != s.Cores:
		return diff("cores", other.Cores, s.Cores)
	case other.Dataset != "" && other.Corpus() != s.Corpus():
		return diff("dataset", other.Corpus(), s.Corpus())
	case other.Vocab != 0 && other.Tokens() != s.Tokens():
		return diff("vocab", other.Tokens(), s.Tokens())
	case other.Proposer != "" && other.Proposer != s.Proposer:
		return diff("proposer", other.Proposer, s.Proposer)
	case other.Policy != "" && other.Policy != s.Policy:
		return diff("policy", other.Policy, s.Policy)
	}
	return ""
}

package experiment

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Duration is a time.Duration that people write as "60s" or "8h30m" in JSON.
// A bare number counts seconds.
type Duration time.Duration

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Seconds returns d in seconds.
func (d Duration) Seconds() float64 { return time.Duration(d).Seconds() }

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes the form that people type: "1m0s".
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads "60s" or 60.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var seconds float64
	if json.Unmarshal(b, &seconds) == nil {
		if limit := time.Duration(math.MaxInt64).Seconds(); seconds >= limit || seconds <= -limit {
			return fmt.Errorf("a duration of %s seconds is too long", b)
		}
		*d = Duration(seconds * float64(time.Second))
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("a duration is text such as \"60s\" or a number of seconds, not %s", b)
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("a duration is text such as \"60s\" or \"8h\", not %q", text)
	}
	*d = Duration(v)
	return nil
}

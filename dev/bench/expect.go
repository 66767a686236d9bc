package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// Expectation is what a quick run must measure: a count, which depends little on the machine, or else a ratio to the limit.
type Expectation struct {
	Count float64 `json:"count,omitempty"`
	Ratio float64 `json:"ratio,omitempty"`
}

// How much worse than expected a figure may be.
const (
	// The machine decides how many steps end within one workflow task: 37 to 46 events, and what goes with them.
	worseCount = 1.3
	worseRatio = 1.5
)

// fault returns why a figure is much worse than expected, or "".
func (e Expectation) fault(f Figure) string {
	measured, expected, most := f.Value, e.Count, worseCount
	if e.Count == 0 {
		measured, expected, most = f.Ratio(), e.Ratio, worseRatio
	}
	worse := measured / expected
	if f.Target.AtLeast {
		worse = expected / measured
	}
	if worse <= most {
		return ""
	}
	return fmt.Sprintf("%s: measured %s, expected %s", f.Name, number(measured), number(expected))
}

// Compare returns what is much worse than expected. A figure that was not measured is, too.
func Compare(figures []Figure, expected map[string]Expectation) (faults []string) {
	measured := map[string]Figure{}
	for _, f := range figures {
		measured[f.Name] = f
	}
	for name, e := range expected {
		f, ok := measured[name]
		if !ok {
			faults = append(faults, name+": it was not measured")
		} else if fault := e.fault(f); fault != "" {
			faults = append(faults, fault)
		}
	}
	return faults
}

// ReadExpectations reads a file that WriteExpectations wrote.
func ReadExpectations(file string) (expected map[string]Expectation, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(text, &expected)
	return expected, err
}

// WriteExpectations writes the figures as what later runs must measure.
func WriteExpectations(w io.Writer, figures []Figure) error {
	expected := map[string]Expectation{}
	for _, f := range figures {
		switch {
		case f.Count:
			expected[f.Name] = Expectation{Count: f.Value}
		case !f.Target.AtLeast: // a rate depends on what else the machine does
			expected[f.Name] = Expectation{Ratio: f.Ratio()}
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(expected)
}

// Better returns the better one of two measurements of each figure.
func Better(first, second []Figure) (best []Figure) {
	for i, f := range first {
		if i < len(second) && second[i].Name == f.Name && betterThan(second[i], f) {
			f = second[i]
		}
		best = append(best, f)
	}
	return best
}

func betterThan(a, b Figure) bool {
	worse, better := a.Ratio(), b.Ratio()
	if a.Count {
		worse, better = a.Value, b.Value
	}
	if a.Target.AtLeast {
		return worse > better
	}
	return worse < better
}

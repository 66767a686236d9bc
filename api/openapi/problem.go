package openapi

import (
	"encoding/json"
	"fmt"
)

// ProblemOf returns the problem document in the body of an answer that is not a success. A body without a problem document,
// such as that of a proxy, becomes a Problem with the status alone.
func ProblemOf(status int, body []byte) *Problem {
	p := &Problem{}
	if json.Unmarshal(body, p) != nil || p.Status != status {
		return &Problem{Status: status, Detail: "the answer has no problem document"}
	}
	return p
}

// Error returns the problem's code and detail.
func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

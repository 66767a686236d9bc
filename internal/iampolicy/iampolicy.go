package iampolicy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Answer is the answer of policies to a question.
type Answer int

// The answers, from worst to best for a user who needs all of them.
const (
	NotAllowed Answer = iota // no statement allows the action
	Denied                   // a statement denies the action, no matter what others allow
	Unknown                  // it depends on a condition, or on a variable other than the user's name
	Allowed
)

// Question is whether a user may perform an action.
type Question struct {
	Action   string // such as iam:ChangePassword
	Resource string // an ARN, or * for an action without a resource
	UserName string // the user's name without the path: the value of ${aws:username}
}

// Policy is a policy document.
type Policy struct {
	Version   string
	Statement list[statement]
}

type statement struct {
	Effect      string
	Action      list[string]
	NotAction   list[string]
	Resource    list[string]
	NotResource list[string]
	Condition   json.RawMessage
}

// list is one element or several: IAM accepts both.
type list[T any] []T

// UnmarshalJSON reads a list or a single element.
func (l *list[T]) UnmarshalJSON(text []byte) error {
	if strings.HasPrefix(strings.TrimSpace(string(text)), "[") {
		return json.Unmarshal(text, (*[]T)(l))
	}
	var one T
	if err := json.Unmarshal(text, &one); err != nil {
		return err
	}
	*l = list[T]{one}
	return nil
}

// Parse parses the document of an identity-based policy or of a permissions boundary.
// Source: IAM User Guide, "Grammar of the IAM JSON policy language".
func Parse(document string) (*Policy, error) {
	var p Policy
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return nil, fmt.Errorf("not a policy: %w", err)
	}
	if len(p.Statement) == 0 {
		return nil, errors.New("not a policy: it has no Statement")
	}
	for i, s := range p.Statement {
		switch {
		case s.Effect != "Allow" && s.Effect != "Deny":
			return nil, fmt.Errorf("statement %d: Effect is %q, but must be Allow or Deny", i+1, s.Effect)
		case (len(s.Action) == 0) == (len(s.NotAction) == 0):
			return nil, fmt.Errorf("statement %d must have either Action or NotAction", i+1)
		case (len(s.Resource) == 0) == (len(s.NotResource) == 0):
			return nil, fmt.Errorf("statement %d must have either Resource or NotResource", i+1)
		}
	}
	return &p, nil
}

// Allow returns a policy that allows the actions on all resources.
func Allow(actions ...string) *Policy {
	return &Policy{Statement: list[statement]{{Effect: "Allow", Action: actions, Resource: list[string]{"*"}}}}
}

// Decide evaluates policies together, as those of one user. A Deny takes precedence over an Allow, in any order.
// Source: IAM User Guide, "Policy evaluation logic".
func Decide(q Question, policies ...*Policy) Answer {
	answer, mayDeny := NotAllowed, false
	for _, p := range policies {
		for _, s := range p.Statement {
			applies := s.applies(q, p.Version)
			switch {
			case applies == no:
			case s.Effect == "Deny" && applies == yes:
				return Denied
			case s.Effect == "Deny":
				mayDeny = true
			case applies == yes:
				answer = Allowed
			case answer == NotAllowed:
				answer = Unknown
			}
		}
	}
	if mayDeny && answer == Allowed {
		return Unknown
	}
	return answer
}

// match is whether a statement applies to a question.
type match int

const (
	no match = iota
	perhaps
	yes
)

func (s statement) applies(q Question, version string) match {
	action := strings.ToLower(q.Action)
	about := func(pattern string) match { return sure(wildcard(strings.ToLower(pattern), action)) }
	on := func(pattern string) match { return resource(pattern, q, version) }
	m := min(best(s.Action, about), best(s.Resource, on))
	if len(s.NotAction) > 0 {
		m = min(yes-best(s.NotAction, about), best(s.Resource, on))
	}
	if len(s.NotResource) > 0 {
		m = min(m, yes-best(s.NotResource, on))
	}
	if len(s.Condition) > 0 {
		m = min(m, perhaps)
	}
	return m
}

// best returns the best match of the patterns; yes when there are none, because then nothing is restricted.
func best(patterns []string, matches func(string) match) match {
	if len(patterns) == 0 {
		return yes
	}
	top := no
	for _, pattern := range patterns {
		top = max(top, matches(pattern))
	}
	return top
}

func sure(matches bool) match {
	if matches {
		return yes
	}
	return no
}

// userName is the policy variable for the user's name without the path.
const userName = "${aws:username}"

// resource matches the pattern of an ARN. Policies of version 2012-10-17 have variables; only the value of the user's name is known.
func resource(pattern string, q Question, version string) match {
	if version == "2012-10-17" {
		pattern = strings.ReplaceAll(pattern, userName, q.UserName)
		if begin := strings.Index(pattern, "${"); begin >= 0 {
			if wildcard(pattern[:begin]+"*", q.Resource) {
				return perhaps
			}
			return no
		}
	}
	return sure(wildcard(pattern, q.Resource))
}

// wildcard matches a text against a pattern in which * matches any text and ? any character.
func wildcard(pattern, text string) bool {
	for pattern != "" {
		switch {
		case pattern[0] == '*':
			for i := len(text); i >= 0; i-- {
				if wildcard(pattern[1:], text[i:]) {
					return true
				}
			}
			return false
		case text == "", pattern[0] != '?' && pattern[0] != text[0]:
			return false
		}
		pattern, text = pattern[1:], text[1:]
	}
	return text == ""
}

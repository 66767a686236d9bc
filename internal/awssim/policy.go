package awssim

import (
	"encoding/json"
	"strings"

	"quartermaster/deploy/iam"
)

// policy is a parsed IAM policy document. The simulator evaluates a part of AWS's policy language and refuses to parse anything else,
// so no policy is evaluated incompletely.
type policy struct {
	Version   string                     `json:"Version"`
	ID        string                     `json:"Id"`
	Statement oneOrMany[policyStatement] `json:"Statement"`
}

type policyStatement struct {
	Sid         string                                  `json:"Sid"`
	Effect      string                                  `json:"Effect"`
	Principal   *principals                             `json:"Principal"`
	Action      oneOrMany[string]                       `json:"Action"`
	NotAction   oneOrMany[string]                       `json:"NotAction"`
	Resource    oneOrMany[string]                       `json:"Resource"`
	NotResource oneOrMany[string]                       `json:"NotResource"`
	Condition   map[string]map[string]oneOrMany[string] `json:"Condition"`
}

// oneOrMany is a JSON value, or a list of values.
type oneOrMany[T any] []T

// UnmarshalJSON reads either form.
func (o *oneOrMany[T]) UnmarshalJSON(data []byte) error {
	decoder := func(into any) error {
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.DisallowUnknownFields()
		return d.Decode(into)
	}
	if len(data) > 0 && data[0] == '[' {
		return decoder((*[]T)(o))
	}
	var single T
	if err := decoder(&single); err != nil {
		return err
	}
	*o = oneOrMany[T]{single}
	return nil
}

// principals is the Principal of a statement: "*", or lists by kind (AWS, Service).
type principals struct {
	anybody bool
	byKind  map[string]oneOrMany[string]
}

// UnmarshalJSON reads either form.
func (p *principals) UnmarshalJSON(data []byte) error {
	if string(data) == `"*"` {
		p.anybody = true
		return nil
	}
	return json.Unmarshal(data, &p.byKind)
}

// decision is a policy's answer to a request.
type decision int

const (
	silent  decision = iota // no statement allows it: an implicit deny
	allowed                 // a statement allows it and none denies it
	denied                  // a statement denies it
)

// question is a request in the terms of a policy.
type question struct {
	action   string              // service:Operation
	resource string              // ARN
	caller   string              // ARN of the caller, or the name of a service
	service  bool                // the caller is an AWS service
	context  map[string][]string // condition keys in lower case
}

// keepPolicies bounds the cache of parsed documents: every session may have its own policy.
const keepPolicies = 4096

// policy parses a document, or returns it from the cache.
func (s *Sim) policy(document string) (*policy, error) {
	if p, ok := s.policies[document]; ok {
		return p, nil
	}
	p, err := parsePolicy(document)
	if err != nil {
		return nil, err
	}
	if len(s.policies) >= keepPolicies {
		clear(s.policies)
	}
	s.policies[document] = p
	return p, nil
}

// mustPolicy parses a document that Load, Edit or an operation has already accepted.
func (s *Sim) mustPolicy(document string) *policy {
	p, err := s.policy(document)
	if err != nil {
		panic("awssim: an accepted policy: " + err.Error())
	}
	return p
}

// roleDocument returns the permissions policy of the account's role: its own, or the shipped one for a pool with the usual user policy.
// Every request needs it, so it is generated once for each account.
func (s *Sim) roleDocument(a *Account) string {
	if len(a.Role.Policy) > 0 {
		return string(a.Role.Policy)
	}
	document, ok := s.shippedRoles[a.ID]
	if !ok {
		document = iam.RolePolicy(iam.Role{AccountID: a.ID, UserPolicyARNs: []string{awsPolicyPrefix + "ReadOnlyAccess"}})
		s.shippedRoles[a.ID] = document
	}
	return document
}

// trustDocument returns the trust policy of the account's role: its own, or the shipped one. For a role without an external id it is a
// trust policy that demands none, a common mistake.
func trustDocument(a *Account) string {
	switch {
	case len(a.Role.TrustPolicy) > 0:
		return string(a.Role.TrustPolicy)
	case a.Role.ExternalID != "":
		return iam.TrustPolicy(a.Role.TrustedPrincipal, a.Role.ExternalID)
	}
	principal, _ := json.Marshal(a.Role.TrustedPrincipal) // a string always marshals
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":` + string(principal) +
		`},"Action":["sts:AssumeRole","sts:SetSourceIdentity","sts:TagSession"]}}`
}

// userName is the policy variable for the name of a user, without the path.
const userName = "${aws:username}"

// resources replaces the policy variable. For a caller that is not a user it has no value, so the pattern matches nothing.
func (p *policy) resources(patterns []string, q question) []string {
	if p.Version != variablesVersion {
		return patterns // an older version treats variables as plain text
	}
	name := q.context["aws:username"]
	filled := make([]string, 0, len(patterns))
	for _, pattern := range patterns {
		switch {
		case !strings.Contains(pattern, userName):
			filled = append(filled, pattern)
		case len(name) == 1:
			filled = append(filled, strings.ReplaceAll(pattern, userName, name[0]))
		}
	}
	return filled
}

// evaluate answers a question with all statements. A Deny takes precedence over an Allow.
func (p *policy) evaluate(q question) decision {
	answer := silent
	for _, st := range p.Statement {
		if !st.applies(q, p) {
			continue
		}
		if st.Effect == "Deny" {
			return denied
		}
		answer = allowed
	}
	return answer
}

func (st *policyStatement) applies(q question, p *policy) bool {
	if st.Principal != nil && !st.Principal.match(q) {
		return false
	}
	action := strings.ToLower(q.action)
	if len(st.Action) > 0 && !anyMatch(st.Action, action, true) || len(st.NotAction) > 0 && anyMatch(st.NotAction, action, true) {
		return false
	}
	if len(st.Resource) > 0 && !anyMatch(p.resources(st.Resource, q), q.resource, false) ||
		len(st.NotResource) > 0 && anyMatch(p.resources(st.NotResource, q), q.resource, false) {
		return false
	}
	for operator, conditions := range st.Condition {
		for key, wanted := range conditions {
			if !conditionHolds(operator, wanted, q.context[strings.ToLower(key)]) {
				return false
			}
		}
	}
	return true
}

func (p *principals) match(q question) bool {
	if p.anybody {
		return true
	}
	if q.service {
		return anyMatch(p.byKind["Service"], q.caller, false)
	}
	for _, wanted := range p.byKind["AWS"] {
		if wanted == "*" || wanted == q.caller || wanted == roleOf(q.caller) {
			return true
		}
		account := arnField(q.caller, 4)
		if wanted == account || wanted == "arn:aws:iam::"+account+":root" {
			return true
		}
	}
	return false
}

// roleOf returns the ARN of the role of an assumed-role session; "" for other callers.
func roleOf(caller string) string {
	rest, ok := strings.CutPrefix(arnField(caller, 5), "assumed-role/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return "arn:aws:iam::" + arnField(caller, 4) + ":role/" + name
}

// arnField returns a field of an ARN by its index (4: account, 5: resource); "" when it does not exist.
func arnField(arn string, place int) string {
	fields := strings.SplitN(arn, ":", 6)
	if place >= len(fields) {
		return ""
	}
	return fields[place]
}

// conditionOperator splits an operator such as ForAllValues:StringLikeIfExists.
func conditionOperator(name string) (set, operator string, ifExists, ok bool) {
	operator = name
	if before, after, found := strings.Cut(name, ":"); found {
		set, operator = before, after
	}
	operator, ifExists = strings.CutSuffix(operator, "IfExists")
	switch operator {
	case "StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Bool",
		"Null":
		ok = set == "" || set == "ForAllValues" || set == "ForAnyValue"
	}
	return set, operator, ifExists, ok
}

// conditionHolds compares the values of one condition key. A key that the request does not have fails every positive operator and
// satisfies every negative one, unless the operator has ForAllValues or IfExists.
func conditionHolds(name string, wanted, actual []string) bool {
	set, operator, ifExists, _ := conditionOperator(name)
	if operator == "Null" {
		return (len(actual) == 0) == anyMatch(wanted, "true", false)
	}
	positive, negated := strings.CutPrefix(operator, "StringNot")
	if !negated {
		positive, negated = strings.CutPrefix(operator, "ArnNot")
	}
	if len(actual) == 0 {
		return ifExists || set == "ForAllValues" || negated && set == ""
	}
	matches := func(value string) bool {
		for _, want := range wanted {
			if strings.HasSuffix(positive, "Equals") && strings.HasPrefix(operator, "String") || operator == "Bool" {
				if want == value {
					return true
				}
			} else if wildcard(want, value) { // StringLike, ArnLike and ArnEquals: AWS treats them the same
				return true
			}
		}
		return false
	}
	holds := 0
	for _, value := range actual {
		if matches(value) != negated {
			holds++
		}
	}
	if set == "ForAnyValue" {
		return holds > 0
	}
	return holds == len(actual)
}

func anyMatch(patterns []string, value string, foldPatterns bool) bool {
	for _, pattern := range patterns {
		if foldPatterns {
			pattern = strings.ToLower(pattern)
		}
		if wildcard(pattern, value) {
			return true
		}
	}
	return false
}

// wildcard matches a text against a pattern in which * matches any characters and ? matches one.
func wildcard(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

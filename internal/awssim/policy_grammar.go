package awssim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// variablesVersion is the version of the policy language that has variables.
const variablesVersion = "2012-10-17"

var (
	actionPattern   = regexp.MustCompile(`\A(\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)\z`)
	variablePattern = regexp.MustCompile(`\$\{[^}]*\}`)
)

// parsePolicy parses a policy document by the grammar that all kinds of policies share. A construct of AWS's policy language that the
// simulator does not evaluate is an error too.
func parsePolicy(document string) (*policy, error) {
	var p policy
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return nil, fmt.Errorf("not a policy that the simulator can evaluate: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is text after the policy")
	}
	if p.Version != "" && p.Version != variablesVersion && p.Version != "2008-10-17" {
		return nil, fmt.Errorf("the Version %q must be 2012-10-17 or 2008-10-17", p.Version)
	}
	if len(p.Statement) == 0 {
		return nil, errors.New("the policy has no Statement")
	}
	sids := map[string]bool{}
	for i, st := range p.Statement {
		if err := st.check(p.Version); err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		if st.Sid != "" && sids[st.Sid] {
			return nil, fmt.Errorf("statement %d: Sid %q is there twice", i+1, st.Sid)
		}
		sids[st.Sid] = true
	}
	return &p, nil
}

func (st *policyStatement) check(version string) error {
	switch {
	case st.Effect != "Allow" && st.Effect != "Deny":
		return fmt.Errorf("Effect %q must be Allow or Deny", st.Effect)
	case len(st.Action) > 0 == (len(st.NotAction) > 0):
		return errors.New("there must be either Action or NotAction")
	case len(st.Resource) > 0 && len(st.NotResource) > 0:
		return errors.New("there must not be both Resource and NotResource")
	}
	for _, action := range slices.Concat(st.Action, st.NotAction) {
		if !actionPattern.MatchString(action) {
			return fmt.Errorf("the action %q must be * or service:Action", action)
		}
	}
	texts := slices.Concat(st.Resource, st.NotResource)
	for _, resource := range texts {
		if resource != "*" && (!strings.HasPrefix(resource, "arn:") || strings.Count(resource, ":") < 5) {
			return fmt.Errorf("the resource %q must be * or an ARN", resource)
		}
	}
	for operator, conditions := range st.Condition {
		if _, _, _, ok := conditionOperator(operator); !ok {
			return fmt.Errorf("the simulator does not evaluate the condition operator %s", operator)
		}
		for _, values := range conditions {
			for _, value := range values {
				if version == variablesVersion && variablePattern.MatchString(value) {
					return fmt.Errorf("the simulator does not evaluate variables in conditions, such as %q", value)
				}
			}
		}
	}
	for _, text := range texts {
		for _, variable := range variablePattern.FindAllString(text, -1) {
			if version == variablesVersion && variable != userName {
				return fmt.Errorf("the simulator does not evaluate the variable %s", variable)
			}
		}
	}
	return nil
}

// each applies a check to every statement of a parsed policy.
func (s *Sim) each(document string, check func(*policyStatement) error) (*policy, error) {
	p, err := s.policy(document)
	if err != nil {
		return nil, err
	}
	for i := range p.Statement {
		if err := check(&p.Statement[i]); err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
	}
	return p, nil
}

// identityPolicy parses a policy of a user, role, session, boundary or organization. It names resources and no principal.
func (s *Sim) identityPolicy(document string) (*policy, error) {
	return s.each(document, func(st *policyStatement) error {
		if st.Principal != nil {
			return errors.New("a policy of this kind must not name a Principal")
		}
		if len(st.Resource)+len(st.NotResource) == 0 {
			return errors.New("there must be a Resource or NotResource")
		}
		return nil
	})
}

// trustPolicy parses the trust policy of a role. It names who may assume the role and no resource.
func (s *Sim) trustPolicy(document string) (*policy, error) {
	return s.each(document, func(st *policyStatement) error {
		if st.Principal == nil {
			return errors.New("a trust policy must name a Principal")
		}
		if len(st.Resource)+len(st.NotResource) > 0 {
			return errors.New("a trust policy must not name a Resource")
		}
		for _, action := range st.Action {
			if action != "*" && !strings.HasPrefix(action, "sts:") {
				return fmt.Errorf("a trust policy must allow actions of STS only, not %s", action)
			}
		}
		return nil
	})
}

// bucketPolicy parses the policy of a bucket. It names principals, and the bucket and its objects as resources.
func (s *Sim) bucketPolicy(document, bucket string) (*policy, error) {
	return s.each(document, func(st *policyStatement) error {
		if st.Principal == nil {
			return errors.New("a bucket policy must name a Principal")
		}
		if len(st.Resource)+len(st.NotResource) == 0 {
			return errors.New("there must be a Resource or NotResource")
		}
		for _, resource := range slices.Concat(st.Resource, st.NotResource) {
			if rest, ok := strings.CutPrefix(resource, "arn:aws:s3:::"+bucket); !ok || rest != "" && rest[0] != '/' {
				return fmt.Errorf("the resource %q is not the bucket %s or something in it", resource, bucket)
			}
		}
		return nil
	})
}

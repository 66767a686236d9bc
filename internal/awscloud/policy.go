package awscloud

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"quartermaster/internal/iampolicy"
)

// Policy reads a managed policy in the version that is in effect. It returns nil when package iampolicy cannot evaluate the policy.
//
// AWS's own policies (arn:aws:iam::aws:policy/…) are the same in all accounts and change rarely, so they are read once an hour.
func (s *Session) Policy(ctx context.Context, arn string) (*iampolicy.Policy, error) {
	if !strings.HasPrefix(arn, awsPolicies) {
		return s.readPolicy(ctx, arn)
	}
	if policy, ok := s.policies.get(arn); ok {
		return policy, nil
	}
	policy, err := s.readPolicy(ctx, arn)
	if err == nil {
		s.policies.put(arn, policy)
	}
	return policy, err
}

func (s *Session) readPolicy(ctx context.Context, arn string) (*iampolicy.Policy, error) {
	out, err := s.IAM.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String(arn)})
	if err != nil || out.Policy == nil {
		return nil, err
	}
	version, err := s.IAM.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: aws.String(arn), VersionId: out.Policy.DefaultVersionId})
	if err != nil || version.PolicyVersion == nil {
		return nil, err
	}
	document, err := url.QueryUnescape(aws.ToString(version.PolicyVersion.Document)) // IAM API Reference, GetPolicyVersion: URL-encoded
	if err != nil {
		return nil, err
	}
	policy, err := iampolicy.Parse(document)
	if err != nil {
		return nil, nil //nolint:nilerr // AWS accepts policies that package iampolicy does not
	}
	return policy, nil
}

// awsPolicies begins the ARNs of AWS's own policies.
const awsPolicies = "arn:" + partition + ":iam::aws:policy/"

// policyAge is how long a policy of AWS is kept.
const policyAge = time.Hour

// policyCache keeps AWS's own policies, a nil for each that cannot be evaluated. AWS has about 1,500 of them.
type policyCache struct {
	now func() time.Time

	mu   sync.Mutex
	kept map[string]keptPolicy
}

type keptPolicy struct {
	policy *iampolicy.Policy
	until  time.Time
}

func newPolicyCache(now func() time.Time) *policyCache {
	return &policyCache{now: now, kept: map[string]keptPolicy{}}
}

func (c *policyCache) get(arn string) (policy *iampolicy.Policy, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, ok := c.kept[arn]
	return kept.policy, ok && c.now().Before(kept.until)
}

func (c *policyCache) put(arn string, policy *iampolicy.Policy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[arn] = keptPolicy{policy, c.now().Add(policyAge)}
}

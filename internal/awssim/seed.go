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

// Seed is the content of a seed file: the callers and accounts before the first call.
type Seed struct {
	Callers  []Caller  `json:"callers"`
	Accounts []Account `json:"accounts"`
}

// Caller is a principal with long-lived keys that may call sts:AssumeRole, such as the provisioner's own role.
type Caller struct {
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
	ARN             string `json:"arn"` // arn:aws:iam::<account>:user/… or :role/…
}

// services are the SigV4 scopes that the simulator accepts. Every account has a view for each.
var services = []string{"sts", "iam", "account", "cur", "bcm-data-exports", "s3"}

var (
	accountIDPattern = regexp.MustCompile(`\A[0-9]{12}\z`)
	principalPattern = regexp.MustCompile(`\Aarn:aws:(iam|sts)::[0-9]{12}:(root|(user|role|assumed-role)/\S+)\z`)
)

// ReadSeed reads a seed file. It refuses unknown fields by name.
func ReadSeed(r io.Reader) (Seed, error) {
	decoder := json.NewDecoder(r)
	decoder.DisallowUnknownFields()
	var seed Seed
	if err := decoder.Decode(&seed); err != nil {
		if wrongType, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return Seed{}, fmt.Errorf("seed: field %q is a %s but must be a %s", wrongType.Field, wrongType.Value, wrongType.Type)
		}
		return Seed{}, fmt.Errorf("seed: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if decoder.More() {
		return Seed{}, errors.New("seed: there is text after the JSON document: a seed file holds one object")
	}
	// Loading into another simulator checks the values by the rules of Load.
	if err := New(Options{}).Load(seed); err != nil {
		return Seed{}, fmt.Errorf("seed: %w", err)
	}
	return seed, nil
}

// Load adds callers and accounts. If anything is wrong, it returns all errors together and adds nothing.
func (s *Sim) Load(seed Seed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []error
	callers := map[string]Caller{}
	for i, c := range seed.Callers {
		if _, taken := s.callers[c.AccessKeyID]; taken || callers[c.AccessKeyID] != (Caller{}) {
			problems = append(problems, fmt.Errorf("callers[%d].access_key_id %q exists twice", i, c.AccessKeyID))
		}
		if c.AccessKeyID == "" || c.SecretAccessKey == "" {
			problems = append(problems, fmt.Errorf("callers[%d]: access_key_id and secret_access_key must both be given", i))
		}
		if !principalPattern.MatchString(c.ARN) {
			problems = append(problems, fmt.Errorf("callers[%d].arn %q is not the ARN of a user or role, such as "+
				"arn:aws:iam::999988887777:role/provisioner", i, c.ARN))
		}
		callers[c.AccessKeyID] = c
	}
	accounts := map[string]*Account{}
	aliases, buckets := map[string]bool{}, map[string]bool{}
	for i := range seed.Accounts {
		a := seed.Accounts[i].clone()
		if err := s.complete(a); err != nil {
			problems = append(problems, fmt.Errorf("accounts[%d]: %w", i, err))
			continue
		}
		if s.accounts[a.ID] != nil || accounts[a.ID] != nil {
			problems = append(problems, fmt.Errorf("accounts[%d].id %s exists twice", i, a.ID))
		}
		if a.Alias != "" && aliases[a.Alias] {
			problems = append(problems, fmt.Errorf("accounts[%d].alias %q exists twice: an alias is unique across accounts", i, a.Alias))
		}
		for name := range a.Buckets {
			if buckets[name] {
				problems = append(problems,
					fmt.Errorf("accounts[%d].buckets: %q exists twice: a bucket name is unique across accounts", i, name))
			}
			buckets[name] = true
		}
		aliases[a.Alias], accounts[a.ID] = true, a
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	for id, c := range callers {
		s.callers[id] = c
	}
	for _, id := range keys(accounts) {
		a := accounts[id]
		s.reindex(nil, a)
		l := &ledger{current: a, views: map[string][]version{}}
		for _, service := range services {
			l.views[service] = []version{{state: a, visibleAt: s.now()}}
		}
		s.accounts[id] = l
	}
	return nil
}

// complete sets the values that AWS would assign, and refuses what cannot exist in AWS. It does not check every constraint: an account may
// hold data that today's API would refuse, such as old phone numbers.
func (s *Sim) complete(a *Account) error {
	if !accountIDPattern.MatchString(a.ID) {
		return fmt.Errorf("id %q must have 12 digits", a.ID)
	}
	if a.State == "" {
		a.State = StateActive
	}
	if !slices.Contains(accountStates, a.State) {
		return fmt.Errorf("account %s: state %q must be one of %s", a.ID, a.State, strings.Join(accountStates, ", "))
	}
	if a.Role.Name == "" {
		return fmt.Errorf("account %s: role.name is missing: it is the role that is assumed", a.ID)
	}
	if err := s.checkPolicyDocuments(a); err != nil {
		return fmt.Errorf("account %s: %w", a.ID, err)
	}
	if err := s.completeRole(a); err != nil {
		return fmt.Errorf("account %s: %w", a.ID, err)
	}
	for kind := range a.AlternateContacts {
		if kind != "BILLING" && kind != "OPERATIONS" && kind != "SECURITY" {
			return fmt.Errorf("account %s: alternate_contacts: %q must be BILLING, OPERATIONS or SECURITY", a.ID, kind)
		}
	}
	if owner := s.aliases[a.Alias]; a.Alias != "" && owner != "" && owner != a.ID {
		return fmt.Errorf("account %s: alias %q belongs to account %s", a.ID, a.Alias, owner)
	}
	if err := a.checkRegions(); err != nil {
		return fmt.Errorf("account %s: %w", a.ID, err)
	}
	if err := s.completeUsers(a); err != nil {
		return fmt.Errorf("account %s: %w", a.ID, err)
	}
	for _, name := range keys(a.Exports) {
		e := a.Exports[name]
		if e.ARN == "" {
			e.ARN = exportARN(a.ID, name, s.uuid())
		}
		a.Exports[name] = e
	}
	for _, name := range keys(a.Buckets) {
		b := a.Buckets[name]
		if owner := s.buckets[name]; owner != "" && owner != a.ID {
			return fmt.Errorf("account %s: buckets: %q belongs to account %s", a.ID, name, owner)
		}
		if b.Region == "" {
			b.Region = homeRegion
		}
		if !knownRegion(b.Region) {
			return fmt.Errorf("account %s: buckets.%s.region %q is not a region of AWS", a.ID, name, b.Region)
		}
		if b.Policy != "" {
			if _, err := s.bucketPolicy(b.Policy, name); err != nil {
				return fmt.Errorf("account %s: buckets.%s.policy: %w", a.ID, name, err)
			}
		}
		if err := b.completeVersions(); err != nil {
			return fmt.Errorf("account %s: buckets.%s: %w", a.ID, name, err)
		}
		a.Buckets[name] = b
	}
	return nil
}

func (s *Sim) completeRole(a *Account) error {
	if a.Role.MaxSessionSeconds == 0 {
		a.Role.MaxSessionSeconds = 3600
	}
	if n := a.Role.MaxSessionSeconds; n < 3600 || n > 43200 {
		return fmt.Errorf("role.max_session_seconds %d must be between 3600 and 43200", n)
	}
	if len(a.Role.TrustPolicy) == 0 && !principalPattern.MatchString(a.Role.TrustedPrincipal) {
		return fmt.Errorf("role.trusted_principal %q is not the ARN of a user or role: give it, or a trust_policy", a.Role.TrustedPrincipal)
	}
	if _, err := s.trustPolicy(trustDocument(a)); err != nil {
		return fmt.Errorf("role.trust_policy: %w", err)
	}
	if _, err := s.identityPolicy(s.roleDocument(a)); err != nil {
		return fmt.Errorf("role.policy: %w", err)
	}
	if _, ok := a.document(a.Role.PermissionsBoundary); a.Role.PermissionsBoundary != "" && !ok {
		return fmt.Errorf("role.permissions_boundary %q is no policy of the account: list it in policy_documents",
			a.Role.PermissionsBoundary)
	}
	if len(a.OrganizationPolicy) > 0 {
		if _, err := s.identityPolicy(string(a.OrganizationPolicy)); err != nil {
			return fmt.Errorf("organization_policy: %w", err)
		}
	}
	return nil
}

func (s *Sim) completeUsers(a *Account) error {
	lower := map[string]string{}
	for _, name := range keys(a.Users) {
		u := a.Users[name]
		if other, taken := lower[strings.ToLower(name)]; taken {
			return fmt.Errorf("users: %q and %q are the same name to AWS, which does not distinguish case", other, name)
		}
		lower[strings.ToLower(name)] = name
		if u.Path == "" {
			u.Path = "/"
		}
		if u.ID == "" {
			u.ID = s.id("AIDA", 17)
		}
		for _, serial := range u.MFADevices {
			if _, known := a.VirtualMFADevices[serial]; !known && strings.Contains(serial, ":mfa/") {
				put(&a.VirtualMFADevices, serial, name)
			}
		}
		a.Users[name] = u
	}
	return nil
}

package awssim

import (
	"cmp"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
)

// keepEntries bounds both logs, so that a simulator that runs for days in development does not grow without a limit. When a log reaches
// it, the older half is deleted. No test comes close to it.
const keepEntries = 400_000

// Effect is one change of an account.
type Effect struct {
	Time         time.Time `json:"time"`
	AccountID    string    `json:"account_id"`
	Service      string    `json:"service"`
	Operation    string    `json:"operation"`
	Resource     string    `json:"resource"`      // such as user/alice, alias/acme, bucket/mp-cur-1
	What         string    `json:"what"`          // in words; never a password or a contact's data
	InvocationID string    `json:"invocation_id"` // the same for all attempts that the SDK makes for one call
	Attempt      int       `json:"attempt"`       // the SDK's attempt, from 1; 0 when the client did not say
}

// Request is one HTTP request that reached the simulator.
type Request struct {
	Time         time.Time `json:"time"`
	AccountID    string    `json:"account_id"` // the account that was addressed
	Service      string    `json:"service"`    // the scope that the request was signed for
	Operation    string    `json:"operation"`
	Input        string    `json:"input"` // a digest of what was asked: requests that ask for the same have the same
	CallerARN    string    `json:"caller_arn"`
	InvocationID string    `json:"invocation_id"`
	Attempt      int       `json:"attempt"`
	Decision     string    `json:"decision"` // ok, the error code of the answer, or the kind of the fault that replaced it
}

// Effects returns every change so far, oldest first, including those by Edit (service "edit").
func (s *Sim) Effects() []Effect {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Effect(nil), s.effects...)
}

// Requests returns every request so far, in the order in which they were decided.
func (s *Sim) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// digest returns what distinguishes a request from others of its operation. S3 names its resources in the URL.
func (c *call) digest() string {
	hash := fnv.New64a()
	_, _ = io.WriteString(hash, c.http.Method+" "+c.http.URL.RequestURI()+"\n")
	_, _ = hash.Write(c.body)
	return strconv.FormatUint(hash.Sum64(), 16)
}

func appendBounded[T any](log []T, entry T) []T {
	if len(log) >= keepEntries {
		log = append([]T(nil), log[len(log)/2:]...)
	}
	return append(log, entry)
}

// Permission is what the role of an account needed: an action, its resource, and whether the role was allowed to perform it.
type Permission struct {
	Action   string
	Resource string
	Allowed  bool
}

// Permissions returns the permissions that the sessions of the account's role have needed so far, each once, sorted.
func (s *Sim) Permissions(accountID string) []Permission {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Keys(s.needed[accountID]), func(a, b Permission) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(a.Resource, b.Resource))
	})
}

// need records a permission, up to the limit of the log.
func (s *Sim) need(accountID string, p Permission) {
	if s.needed[accountID] == nil {
		s.needed[accountID] = map[Permission]bool{}
	}
	if len(s.needed[accountID]) < keepEntries {
		s.needed[accountID][p] = true
	}
}

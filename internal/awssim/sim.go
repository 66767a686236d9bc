package awssim

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Options configure a simulator. With the zero value it uses the machine's clock, and reads see writes immediately.
type Options struct {
	Now    func() time.Time // the clock of dates, session expiry and consistency; default time.Now
	Delay  time.Duration    // reads see a write only this long after it, with jitter of ±50 %; default 0
	Seed   uint64           // for ids and jitter: the same seed and the same calls produce the same ids
	Logger *slog.Logger     // logs each request at debug level; default none

	// RateLimits enables the rate limits of the account API (PutContactInformation 1 per second, burst 2, and so on), by the
	// clock Now.
	RateLimits bool
}

// Sim is a simulated AWS. It is safe for concurrent use.
type Sim struct {
	opts Options

	mu       sync.Mutex
	random   *rand.Rand
	callers  map[string]Caller // by access key id
	sessions map[string]*session
	accounts map[string]*ledger
	aliases  map[string]string // alias → account id; unique in the partition
	buckets  map[string]string // bucket → account id; unique in the partition
	policies map[string]*policy
	// shippedRoles are the generated policies of roles, by account.
	shippedRoles map[string]string
	limits       map[string]*tokenBucket
	faults       []*rule
	nextRule     int
	effects      []Effect
	requests     []Request
	needed       map[string]map[Permission]bool // by account id
}

// New returns a simulator without accounts and callers. Load adds them.
func New(opts Options) *Sim {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sim{
		opts:     opts,
		random:   rand.New(rand.NewPCG(opts.Seed, 0x5deece66d)), //nolint:gosec // ids must be repeatable; nothing here is secret
		callers:  map[string]Caller{},
		sessions: map[string]*session{},
		accounts: map[string]*ledger{},
		aliases:  map[string]string{},
		buckets:  map[string]string{},
		policies: map[string]*policy{}, shippedRoles: map[string]string{},
		limits: map[string]*tokenBucket{},
		needed: map[string]map[Permission]bool{},
	}
}

// ledger is one account: the current state, on which writes act, and for every service the states that its reads may still see.
type ledger struct {
	current *Account
	views   map[string][]version // by service, oldest first
}

// version is the state of an account after one write, and when the service's reads begin to show it.
type version struct {
	state     *Account
	visibleAt time.Time
}

func (s *Sim) now() time.Time { return s.opts.Now().UTC() }

// view returns the state that a read of the service sees now. A stale read sees the one before the last write.
func (s *Sim) view(l *ledger, service string, stale bool) *Account {
	versions := l.views[service]
	if stale && len(versions) > 1 {
		return versions[len(versions)-2].state
	}
	now, seen := s.now(), 0
	for i, v := range versions {
		if !v.visibleAt.After(now) {
			seen = i
		}
	}
	return versions[seen].state
}

// commit makes next the account's state. Reads of the service show it after the delay. With service "" all reads show it at once.
func (s *Sim) commit(l *ledger, next *Account, service string) {
	s.reindex(l.current, next)
	l.current = next
	now := s.now()
	if service == "" {
		for name := range l.views {
			l.views[name] = []version{{state: next, visibleAt: now}}
		}
		return
	}
	versions := l.views[service]
	// Delete versions that no read can see any more, except for the last one, which a stale read may show.
	for len(versions) > 2 && !versions[2].visibleAt.After(now) {
		versions = versions[1:]
	}
	visibleAt := now.Add(s.jitter(s.opts.Delay))
	if last := versions[len(versions)-1].visibleAt; visibleAt.Before(last) {
		visibleAt = last // writes of a service become visible in their order
	}
	l.views[service] = append(versions, version{state: next, visibleAt: visibleAt})
}

// jitter returns 50 % to 150 % of a delay.
func (s *Sim) jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + time.Duration(s.random.Int64N(int64(d)+1))
}

// reindex updates the names that are unique across accounts after an account has changed.
func (s *Sim) reindex(before, after *Account) {
	if before != nil {
		if s.aliases[before.Alias] == before.ID {
			delete(s.aliases, before.Alias)
		}
		for name := range before.Buckets {
			delete(s.buckets, name)
		}
	}
	if after.Alias != "" {
		s.aliases[after.Alias] = after.ID
	}
	for name := range after.Buckets {
		s.buckets[name] = after.ID
	}
}

// Snapshot returns the account's current state as canonical JSON: equal states produce equal bytes. It returns nil when the account is
// unknown. Passwords appear only as SHA-256.
func (s *Sim) Snapshot(accountID string) []byte {
	account, ok := s.Account(accountID)
	if !ok {
		return nil
	}
	out, err := json.MarshalIndent(account, "", "  ")
	if err != nil { // only a role policy that is not JSON could cause it, and Load and Edit refuse those
		panic(fmt.Sprintf("awssim: account %s cannot be printed: %v", accountID, err))
	}
	return append(out, '\n')
}

// Account returns a deep copy of the account's current state.
func (s *Sim) Account(accountID string) (Account, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.accounts[accountID]
	if !ok {
		return Account{}, false
	}
	return *l.current.clone(), true
}

// Edit changes the account as the customer or AWS would. Reads see the change at once. Edit refuses a change that Load would refuse, and
// the account keeps its state.
func (s *Sim) Edit(accountID string, f func(*Account)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.accounts[accountID]
	if !ok {
		return fmt.Errorf("account %q is not in the simulator: load it first", accountID)
	}
	next := l.current.clone()
	f(next)
	if next.ID != accountID {
		return fmt.Errorf("account %s: its id cannot be changed to %q", accountID, next.ID)
	}
	next = next.clone()
	if err := s.complete(next); err != nil {
		return err
	}
	s.commit(l, next, "")
	s.effects = appendBounded(s.effects, Effect{Time: s.now(), AccountID: accountID, Service: "edit", Operation: "Edit",
		Resource: "account/" + accountID, What: "changed by someone else"})
	return nil
}

const idAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// id returns a new identifier such as AIDA… or ASIA… with n random characters after its prefix.
func (s *Sim) id(prefix string, n int) string {
	out := []byte(prefix)
	for range n {
		out = append(out, idAlphabet[s.random.IntN(len(idAlphabet))])
	}
	return string(out)
}

// uuid returns a random UUID, as in AWS's request ids and export ARNs.
func (s *Sim) uuid() string {
	a, b := s.random.Uint64(), s.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff)
}

package awscloud

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limit is how many calls a second one account is asked for, and how many may come at once. Zero calls a second: no limit.
type Limit struct {
	PerSecond float64
	Burst     int
}

// Limits pace the calls to one account, so that AWS's own limits are rarely met.
type Limits struct {
	IAM           Limit // every call of IAM
	ContactWrites Limit // Put and Delete of account management
	ContactReads  Limit // Get of account management
}

// DefaultLimits stay below the limits of AWS: the account management quotas are published (PutContactInformation 1 per
// second, burst 2; Get 3 per second), those of IAM are not, and 5 per second has proved harmless.
// Source: AWS Account Management Reference Guide, "Quotas".
func DefaultLimits() Limits {
	return Limits{
		IAM:           Limit{PerSecond: 5, Burst: 10},
		ContactWrites: Limit{PerSecond: 1, Burst: 2},
		ContactReads:  Limit{PerSecond: 2, Burst: 5},
	}
}

// ErrPaced says that a call was not sent, because our own limiter would have let it through only after its deadline.
var ErrPaced = errors.New("not sent: too many calls to this account at once")

// pacer keeps one pace for every account that was called lately.
type pacer struct {
	limits Limits
	mu     sync.Mutex
	paces  map[string]*pace
}

// idlePace is how long an unused pace is kept: far longer than it takes for its buckets to be full again.
const idlePace = 10 * time.Minute

func newPacer(limits Limits) *pacer { return &pacer{limits: limits, paces: map[string]*pace{}} }

// of returns the pace of the account: all its sessions share it.
func (p *pacer) of(accountID string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for id, other := range p.paces {
		if id != accountID && now.Sub(other.lastUse()) > idlePace {
			delete(p.paces, id)
		}
	}
	own, ok := p.paces[accountID]
	if !ok {
		own = &pace{iam: limiter(p.limits.IAM), contactWrites: limiter(p.limits.ContactWrites), contactReads: limiter(p.limits.ContactReads), used: now}
		p.paces[accountID] = own
	}
	return own
}

func limiter(l Limit) *rate.Limiter {
	if l.PerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(l.PerSecond), max(l.Burst, 1))
}

// pace is the set of limiters of one account.
type pace struct {
	iam, contactWrites, contactReads *rate.Limiter

	mu   sync.Mutex
	used time.Time
}

func (p *pace) lastUse() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// wait blocks until the call may be sent. Service ids are the SDK's.
func (p *pace) wait(ctx context.Context, serviceID, operation string) error {
	p.mu.Lock()
	p.used = time.Now()
	p.mu.Unlock()
	var l *rate.Limiter
	switch {
	case serviceID == "IAM":
		l = p.iam
	case serviceID == "Account" && IsRead(operation):
		l = p.contactReads
	case serviceID == "Account":
		l = p.contactWrites
	}
	if l == nil {
		return nil
	}
	if err := l.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: %w", operation, ErrPaced)
	}
	return nil
}

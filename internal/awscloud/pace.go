package awscloud

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limit is the rate of calls to one account, and how many calls may be sent at once. A rate of zero means no limit.
type Limit struct {
	PerSecond float64
	Burst     int
}

// Limits pace the calls to one account, so that AWS rarely throttles them.
type Limits struct {
	IAM           Limit // every call of IAM
	ContactWrites Limit // Put and Delete of account management
	ContactReads  Limit // Get of account management
}

// DefaultLimits returns limits below AWS's own. The quotas of Account Management are published (PutContactInformation: 1 per
// second, burst 2; GetContactInformation: 3 per second). Those of IAM are not; 5 per second has proved harmless.
// Source: AWS Account Management Reference Guide, "Quotas".
func DefaultLimits() Limits {
	return Limits{
		IAM:           Limit{PerSecond: 5, Burst: 10},
		ContactWrites: Limit{PerSecond: 1, Burst: 2},
		ContactReads:  Limit{PerSecond: 2, Burst: 5},
	}
}

// ErrPaced reports that a call was not sent, because our own limiter would have allowed it only after its deadline.
var ErrPaced = errors.New("not sent: too many calls to this account in a short time")

// pacer keeps one pace for each account that was called recently.
type pacer struct {
	limits Limits
	mu     sync.Mutex
	paces  map[string]*pace
}

// idlePace is how long an unused pace is kept. Its token buckets are full again long before.
const idlePace = 10 * time.Minute

func newPacer(limits Limits) *pacer { return &pacer{limits: limits, paces: map[string]*pace{}} }

// of returns the pace of the account, which all its sessions share.
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
		own = &pace{
			iam:           limiter(p.limits.IAM),
			contactWrites: limiter(p.limits.ContactWrites),
			contactReads:  limiter(p.limits.ContactReads),
			used:          now,
		}
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

package awscloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/account"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"golang.org/x/time/rate"
)

// Limit is the rate of calls to one account, and how many calls may be sent at once. A rate of zero means no limit.
type Limit struct {
	PerSecond float64
	Burst     int
}

// Limits pace the calls to one account, so that AWS rarely throttles them. Every account has token buckets of its own, so accounts do not
// wait for each other. Each process counts only its own calls: the steps of an order may run in several, but an order sends few calls
// of each kind, and a throttled call is sent again.
type Limits struct {
	IAM     Limit            // every call of IAM
	Account map[string]Limit // by operation of Account Management; one that is missing has no limit
}

// DefaultLimits returns AWS's own limits of Account Management, the stricter ones where the pages of the documentation differ, each with a
// burst that is one call smaller, because calls do not arrive as regularly as they are sent. AWS does not publish the limits of IAM; 5
// per second has proved harmless.
// Source: AWS Account Management Reference Guide, "Quotas".
func DefaultLimits() Limits {
	return Limits{
		IAM: Limit{PerSecond: 5, Burst: 10},
		Account: map[string]Limit{
			"GetAccountInformation":  {PerSecond: 3, Burst: 2},
			"GetContactInformation":  {PerSecond: 3, Burst: 4},
			"PutContactInformation":  {PerSecond: 1, Burst: 1},
			"GetAlternateContact":    {PerSecond: 3, Burst: 4},
			"PutAlternateContact":    {PerSecond: 1, Burst: 5},
			"DeleteAlternateContact": {PerSecond: 1, Burst: 5},
		},
	}
}

// ErrPaced reports that a call was not sent, because our own limiter would have allowed it only after its deadline.
var ErrPaced = errors.New("not sent: too many calls to this account in a short time")

// pacer keeps one pace for each account that was called recently.
type pacer struct {
	limits Limits
	mu     sync.Mutex
	paces  map[string]*pace
	swept  time.Time
}

// idlePace is how long an unused pace is kept. Its token buckets are full again long before.
const idlePace = 10 * time.Minute

// sweepEvery is how often the caches remove what is no longer used.
const sweepEvery = time.Minute

func newPacer(limits Limits) *pacer { return &pacer{limits: limits, paces: map[string]*pace{}} }

// of returns the pace of the account, which all its sessions share.
func (p *pacer) of(accountID string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.swept) >= sweepEvery {
		p.swept = now
		maps.DeleteFunc(p.paces, func(_ string, other *pace) bool { return now.Sub(other.lastUse()) > idlePace })
	}
	own, ok := p.paces[accountID]
	if !ok {
		own = &pace{iam: limiter(p.limits.IAM), account: map[string]*rate.Limiter{}, used: now}
		for operation, limit := range p.limits.Account {
			own.account[operation] = limiter(limit)
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
	iam     *rate.Limiter
	account map[string]*rate.Limiter // by operation

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
	switch serviceID {
	case iam.ServiceID:
		l = p.iam
	case account.ServiceID:
		l = p.account[operation]
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

package api

import (
	"math"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"
)

// A budget limits the requests of one key, person or address. Each process counts for itself.
type budget struct {
	who   string // one key, one person, or one address
	whose string // for the message
	rate  float64
	burst int
	at    time.Time
}

// limit charges the request to the budget of its caller. For an operation that needs no key, each address has a budget of its own,
// so that invalid keys from an address do not keep its customers from their passwords.
func (s *service) limit(op *operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			who := callerOf(c.Request().Context())
			spent := s.callerBudget(who)
			if op.public {
				spent = s.addressBudget(op.OperationID, who.IP, "your address, for requests of this kind,")
			}
			if err := s.budgets.take(spent); err != nil {
				return err
			}
			return next(c)
		}
	}
}

func (s *service) callerBudget(who caller) budget {
	b := budget{who: who.ID, whose: "your account", rate: s.RequestsPerSecond, burst: s.Burst, at: s.Now()}
	if who.KeyID != "" {
		b.whose = "API key " + who.KeyID
	}
	if own := who.rateLimit; own != nil {
		b.rate, b.burst = *own, max(1, int(2*(*own)))
	}
	return b
}

// guessBudget is the budget of an address for requests without a valid key.
func (s *service) guessBudget(ip string) budget {
	return s.addressBudget("guess", ip, "your address, for requests without a valid API key,")
}

func (s *service) addressBudget(purpose, ip, whose string) budget {
	return budget{who: purpose + " " + networkOf(ip), whose: whose, rate: s.RequestsPerSecond, burst: s.Burst, at: s.Now()}
}

// budgets are the budgets in use.
type budgets struct {
	mu    sync.Mutex
	of    map[string]*rate.Limiter
	swept time.Time
}

const sweepEvery = 3 * time.Minute

// take charges one request, or returns how long to wait.
func (b *budgets) take(l budget) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.at.Sub(b.swept) >= sweepEvery {
		b.sweep(l.at)
	}
	limiter := b.of[l.who]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Limit(l.rate), l.burst)
		b.of[l.who] = limiter
	}
	// A refused request reserves nothing, so that refusals do not lower the rate.
	if left := limiter.TokensAt(l.at); left < 1 {
		p := problem(codeTooManyRequests,
			"the limit of %s is %g requests per second: wait for the number of seconds in Retry-After", l.whose, l.rate)
		p.retryAfter = int(math.Ceil((1 - left) / l.rate))
		return p
	}
	limiter.AllowN(l.at, 1)
	return nil
}

// sweep removes the budgets that are full again, because a full budget equals a new one.
func (b *budgets) sweep(now time.Time) {
	kept := map[string]*rate.Limiter{}
	for who, limiter := range b.of {
		if limiter.TokensAt(now) < float64(limiter.Burst()) {
			kept[who] = limiter
		}
	}
	b.of, b.swept = kept, now
}

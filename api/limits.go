package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"math"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"
)

// A budget limits the requests of one key or address. Each process counts for itself.
type budget struct {
	who   string // one key, or one address
	whose string // for the message
	rate  float64
	burst int
	at    time.Time
}

// limit charges the request to the budget of its key, or of its IP address if the operation needs no key.
func (s *service) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		who := callerOf(c.Request().Context())
		spent := s.addressBudget(who.IP)
		if who.KeyID != "" {
			spent = s.keyBudget(who)
		}
		if _, err := s.budgets.take(spent); err != nil {
			return err
		}
		return next(c)
	}
}

func (s *service) keyBudget(who caller) budget {
	b := budget{who: "key " + who.KeyID, whose: "API key " + who.KeyID, rate: s.RequestsPerSecond, burst: s.Burst, at: s.Now()}
	if own := who.key.RateLimit; own != nil {
		b.rate, b.burst = *own, max(1, int(2*(*own)))
	}
	return b
}

func (s *service) addressBudget(ip string) budget {
	return budget{who: "ip " + ip, whose: "your address, for requests without a valid API key,", rate: s.RequestsPerSecond,
		burst: s.Burst, at: s.Now()}
}

// budgets are the budgets in use.
type budgets struct {
	mu    sync.Mutex
	of    map[string]*rate.Limiter
	swept time.Time
}

const sweepEvery = 3 * time.Minute

// take charges one request, or returns how long to wait. giveBack refunds the request.
func (b *budgets) take(l budget) (giveBack func(), err error) {
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
	// A refused request reserves nothing, because concurrent reservations that are cancelled are not refunded in full.
	if left := limiter.TokensAt(l.at); left < 1 {
		p := problem(codeTooManyRequests,
			"the limit of %s is %g requests per second: wait for the number of seconds in Retry-After", l.whose, l.rate)
		p.retryAfter = int(math.Ceil((1 - left) / l.rate))
		return nil, p
	}
	spent := limiter.ReserveN(l.at, 1)
	return func() { spent.CancelAt(l.at) }, nil // a later time would refund nothing
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

// seenKeys are the keys that this process has found valid, by id, with the SHA-256 of their secret. They grant nothing; they
// only distinguish callers from guesses.
type seenKeys struct{ sums sync.Map }

func (k *seenKeys) valid(id string, sum [sha256.Size]byte) bool {
	known, ok := k.sums.Load(id)
	if !ok {
		return false
	}
	seen, ok := known.([sha256.Size]byte)
	return ok && subtle.ConstantTimeCompare(seen[:], sum[:]) == 1
}

func (k *seenKeys) add(id string, sum [sha256.Size]byte) { k.sums.Store(id, sum) }

// forget removes a key that has ended. A guess with a wrong secret does not remove it.
func (k *seenKeys) forget(id string, sum [sha256.Size]byte) { k.sums.CompareAndDelete(id, sum) }

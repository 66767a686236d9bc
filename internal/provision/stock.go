package provision

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// PoolStock is the stock of one pool at one moment.
type PoolStock struct {
	Pool
	StockCount
	OrdersWaiting int // of any model, and those that do not mind
	Threshold     *int
	RenotifyEvery time.Duration
	Models        []ModelStock // sorted: those that have accounts, a threshold or an order that waits
	Forecast      Forecast
	Alert         *StockAlert // the open one
	SuspendedAt   *time.Time  // since when its verification makes nothing Invalid
	// ClaimsSuspendedAt is since when orders get no account of it, because several could not be entered; nil: they do.
	ClaimsSuspendedAt      *time.Time
	ClaimsSuspendedBecause string
}

// ModelStock is what a pool has of one account model.
type ModelStock struct {
	Model Model
	StockCount
	OrdersWaiting int // that ask for this model
	Threshold     *int
	Forecast      Forecast
}

// StockCount counts accounts by what may be done with them.
type StockCount struct {
	Ready                  int `db:"ready"`
	InProgress             int `db:"in_progress"`
	Allocated              int `db:"allocated"`
	Failed                 int `db:"failed"`
	Invalid                int `db:"invalid"`
	WaitingForVerification int `db:"waiting_for_verification"` // Invalid until it passes
}

// Plus adds two counts.
func (c StockCount) Plus(other StockCount) StockCount {
	return StockCount{c.Ready + other.Ready, c.InProgress + other.InProgress, c.Allocated + other.Allocated, c.Failed + other.Failed,
		c.Invalid + other.Invalid, c.WaitingForVerification + other.WaitingForVerification}
}

// Total is the number of accounts, whatever their status.
func (c StockCount) Total() int {
	return c.Ready + c.InProgress + c.Allocated + c.Failed + c.Invalid + c.WaitingForVerification
}

// How a forecast is made. Allocations of the window count, those of long ago less: after each half-life half as much.
const (
	ForecastWindow      = 30 * 24 * time.Hour
	ForecastHalfLife    = 7 * 24 * time.Hour
	forecastAllocations = 3                  // fewer say nothing
	forecastHistory     = 3 * 24 * time.Hour // nor do those of a shorter time
)

// Allocations are what a forecast is made from.
type Allocations struct {
	Recent int        `db:"recent"`          // in the window
	Weight float64    `db:"weight"`          // of those, each ½^(age/half-life)
	First  *time.Time `db:"first_allocated"` // ever
}

// Plus adds the allocations of two models.
func (a Allocations) Plus(other Allocations) Allocations {
	sum := Allocations{a.Recent + other.Recent, a.Weight + other.Weight, a.First}
	if sum.First == nil || other.First != nil && other.First.Before(*sum.First) {
		sum.First = other.First
	}
	return sum
}

// Forecast is how long the Ready accounts will last.
type Forecast struct {
	Days   *float64 // nil: there is too little to go by
	PerDay *float64 // allocations a day that it reckons with
	Reason string   // why there is none
}

// Forecast reckons how long so many Ready accounts last when allocations go on as they went: the weight of the recent ones
// divided by the weight of the time in which they happened.
func (a Allocations) Forecast(ready int, now time.Time) Forecast {
	switch {
	case ready == 0:
		days := 0.0
		return Forecast{Days: &days}
	case a.First == nil || a.Recent == 0:
		return Forecast{Reason: "no account was allocated in the last 30 days"}
	case a.Recent < forecastAllocations:
		return Forecast{Reason: fmt.Sprintf("only %d of the %d allocations in 30 days that a forecast needs", a.Recent, forecastAllocations)}
	case now.Sub(*a.First) < forecastHistory:
		return Forecast{Reason: "the first allocation is less than 3 days ago"}
	}
	day := 24 * time.Hour
	halfLife := float64(ForecastHalfLife) / float64(day)
	observed := float64(min(now.Sub(*a.First), ForecastWindow)) / float64(day)
	perDay := a.Weight * math.Ln2 / (halfLife * (1 - math.Exp2(-observed/halfLife)))
	days := math.Round(float64(ready)/perDay*10) / 10
	perDay = math.Round(perDay*1000) / 1000
	return Forecast{Days: &days, PerDay: &perDay}
}

// Condition says how the stock is, in one word and in plain words; empty when nobody needs to care. A pool that never held an
// account is not in use yet: it is empty only when it has a threshold or an order waits.
func (s PoolStock) Condition() (kind AlertKind, reason string) {
	var empty, low []string
	if s.ClaimsSuspendedAt != nil {
		empty = append(empty, "no account is given out: "+SuspensionMessage(*s.ClaimsSuspendedAt, s.ClaimsSuspendedBecause))
	}
	if s.OrdersWaiting > 0 {
		empty = append(empty, plural(s.OrdersWaiting, "order waits", "orders wait"))
	}
	switch inUse := s.Total() > 0; {
	case s.Ready == 0 && (inUse || s.Threshold != nil):
		empty = append(empty, "no account is Ready")
	case s.Threshold != nil && s.Ready <= *s.Threshold:
		low = append(low, fmt.Sprintf("%s Ready, the threshold is %d", plural(s.Ready, "account is", "accounts are"), *s.Threshold))
	}
	for _, m := range s.Models {
		switch {
		case m.Threshold == nil, m.Ready > *m.Threshold:
		case m.Ready == 0:
			empty = append(empty, fmt.Sprintf("no %s account is Ready", m.Model))
		default:
			low = append(low, fmt.Sprintf("%s Ready, the threshold is %d", plural(m.Ready, string(m.Model)+" account is", string(m.Model)+" accounts are"), *m.Threshold))
		}
	}
	switch {
	case len(empty) > 0:
		return AlertEmpty, strings.Join(append(empty, low...), "; ")
	case len(low) > 0:
		return AlertLow, strings.Join(low, "; ")
	}
	return "", ""
}

// SuspensionMessage says since when and why the claims of a pool are suspended, and what to do.
func SuspensionMessage(since time.Time, because string) string {
	return fmt.Sprintf("the claims of the pool are suspended since %s, because %s; check the service's own AWS identity and the roles of the pool's accounts: claims go on by themselves when an account can be entered again",
		since.UTC().Format(time.RFC3339), because)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// StockWatch is what one look at the stock of all pools came to.
type StockWatch struct {
	Pools  int          `json:"pools"`            // that there are
	Open   int          `json:"open"`             // alerts that are open now
	Events []StockEvent `json:"events,omitempty"` // what was told
}

// StockEvent is something that was told about the stock of a pool.
type StockEvent struct {
	Pool   Pool   `json:"pool"`
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// OrderCount counts the orders of a pool in one state.
type OrderCount struct {
	Pool
	State  OrderState `db:"state"`
	Count  int        `db:"count"`
	Oldest time.Time  `db:"oldest"` // since when the oldest of them is in this state
}

package provision

import (
	"fmt"
	"strings"
	"time"
)

// PoolStock is the stock of one pool at one moment.
type PoolStock struct {
	Pool
	StockCount
	OrdersWaiting int // for an account of any model or of one model
	Threshold     *int
	RenotifyEvery time.Duration
	Models        []ModelStock // sorted; the models that have accounts, a threshold or a waiting order
	Forecast      Forecast
	Alert         *StockAlert // the open alert; nil: none
	SuspendedAt   *time.Time  // see PoolConfig.SuspendedAt
	// ClaimsSuspendedAt is the same as PoolConfig.ClaimsSuspendedAt.
	ClaimsSuspendedAt      *time.Time
	ClaimsSuspendedBecause string
}

// ModelStock is the stock of one account model in a pool.
type ModelStock struct {
	Model Model
	StockCount
	OrdersWaiting int // for an account of this model
	Threshold     *int
	Forecast      Forecast
}

// StockCount counts accounts by status.
type StockCount struct {
	Ready                  int `db:"ready"`
	InProgress             int `db:"in_progress"`
	Allocated              int `db:"allocated"`
	Failed                 int `db:"failed"`
	Invalid                int `db:"invalid"`
	WaitingForVerification int `db:"waiting_for_verification"` // Invalid until they pass it
}

// Plus returns the sum of two counts.
func (c StockCount) Plus(other StockCount) StockCount {
	return StockCount{c.Ready + other.Ready, c.InProgress + other.InProgress, c.Allocated + other.Allocated, c.Failed + other.Failed,
		c.Invalid + other.Invalid, c.WaitingForVerification + other.WaitingForVerification}
}

// Total returns the number of accounts of all statuses.
func (c StockCount) Total() int {
	return c.Ready + c.InProgress + c.Allocated + c.Failed + c.Invalid + c.WaitingForVerification
}

// Condition returns the kind of alert that the stock deserves, and why; both are empty when it deserves none. A pool that never
// held an account is not in use yet: it counts as empty only when it has a threshold or an order waits.
func (s PoolStock) Condition() (kind AlertKind, reason string) {
	var empty, low []string
	if s.ClaimsSuspendedAt != nil {
		empty = append(empty, "orders get no account: "+SuspensionMessage(*s.ClaimsSuspendedAt, s.ClaimsSuspendedBecause))
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
			accounts := plural(m.Ready, string(m.Model)+" account is", string(m.Model)+" accounts are")
			low = append(low, fmt.Sprintf("%s Ready, the threshold is %d", accounts, *m.Threshold))
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

// SuspensionMessage says since when and why the claims of a pool are suspended, and what to do about it.
func SuspensionMessage(since time.Time, because string) string {
	return fmt.Sprintf("the claims of the pool have been suspended since %s, because %s; check the service's own AWS identity and the "+
		"roles of the pool's accounts; claims resume automatically when a session can be opened in one of its accounts",
		since.UTC().Format(time.RFC3339), because)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

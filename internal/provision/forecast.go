package provision

import (
	"fmt"
	"math"
	"time"
)

// Parameters of the forecast. Allocations within the window count; the weight of an allocation halves with each half-life.
const (
	ForecastWindow      = 30 * 24 * time.Hour
	ForecastHalfLife    = 7 * 24 * time.Hour
	forecastAllocations = 3                  // the smallest number that a forecast needs
	forecastHistory     = 3 * 24 * time.Hour // the shortest time since the first allocation that a forecast needs
)

// Allocations sums up past allocations; a forecast is computed from it.
type Allocations struct {
	Recent int        `db:"recent"`          // number within ForecastWindow
	Weight float64    `db:"weight"`          // the sum of ½^(age/half-life) over these
	First  *time.Time `db:"first_allocated"` // when the first one ever happened; nil: never
}

// Plus returns the sum of the allocations of two models.
func (a Allocations) Plus(other Allocations) Allocations {
	sum := Allocations{a.Recent + other.Recent, a.Weight + other.Weight, a.First}
	if sum.First == nil || other.First != nil && other.First.Before(*sum.First) {
		sum.First = other.First
	}
	return sum
}

// Forecast says how long the Ready accounts will last.
type Forecast struct {
	Days   *float64 // nil: unknown
	PerDay *float64 // the assumed allocations per day
	Reason string   // why the forecast is unknown
}

// Forecast computes how long that many Ready accounts will last at the recent rate of allocations: the weight of the recent
// allocations divided by the weight of the time in which they happened.
func (a Allocations) Forecast(ready int, now time.Time) Forecast {
	switch {
	case ready == 0:
		days := 0.0
		return Forecast{Days: &days}
	case a.First == nil || a.Recent == 0:
		return Forecast{Reason: "no account was allocated in the last 30 days"}
	case a.Recent < forecastAllocations:
		return Forecast{
			Reason: fmt.Sprintf("%d allocations in the last 30 days; a forecast needs at least %d", a.Recent, forecastAllocations),
		}
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

package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// Tally counts the orders of the tenant: by state, by whom they ask, and those that have ended since a time, unless that is nil.
func (s Orders) Tally(ctx context.Context, of provision.Tenant, endedSince *time.Time) (counts provision.OrderCounts, err error) {
	var rows []struct {
		What string `db:"what"`
		N    int    `db:"n"`
	}
	query, args := tallyQuery(of, endedSince)
	if err := s.db.SelectContext(ctx, &rows, query, args...); err != nil {
		return counts, err
	}
	tally := func(what string, most int) provision.Tally {
		for _, row := range rows {
			if row.What == what {
				return provision.Tally{Count: min(row.N, most), More: row.N > most}
			}
		}
		return provision.Tally{}
	}
	counts.States, counts.Asks = map[provision.OrderState]provision.Tally{}, map[provision.Addressee]provision.Tally{}
	for _, state := range provision.OrderStates {
		most := provision.MaxCounted
		if state.Ended() {
			most = int(^uint(0) >> 1) // counted already
		}
		counts.States[state] = tally(string(state), most)
	}
	for _, who := range []provision.Addressee{provision.AsksCustomer, provision.AsksOperator} {
		counts.Asks[who] = tally(asksWhom+string(who), provision.MaxCounted)
	}
	if endedSince != nil {
		ended := tally(hasEnded, provision.MaxCounted)
		counts.Ended = &ended
	}
	return counts, nil
}

// What tallyQuery counts besides the states.
const (
	asksWhom = "asks "
	hasEnded = "ended"
)

// tallyQuery counts orders that have ended by pool_counts, and the others by rows, which it reads up to one more than
// provision.MaxCounted for each number.
func tallyQuery(of provision.Tenant, endedSince *time.Time) (query string, args []any) {
	var w where
	limit, pools := w.arg(provision.MaxCounted+1), w.poolsOf(of)
	rows := func(condition string) string {
		return `(SELECT count(*) FROM (SELECT 1 FROM pools p CROSS JOIN LATERAL (SELECT 1 FROM orders o WHERE ` + ofPool +
			` AND ` + condition + ` LIMIT ` + limit + `) o` + pools + ` LIMIT ` + limit + `) counted)`
	}
	open := slices.DeleteFunc(slices.Clone(provision.OrderStates), provision.OrderState.Ended)
	query = fmt.Sprintf(`
SELECT p.status AS what, sum(p.n) AS n FROM pool_counts p%s AND p.kind = 'order' GROUP BY p.status
UNION ALL
SELECT s.state, %s FROM unnest(%s::text[]) s (state)
UNION ALL
SELECT '%s' || a.who, %s FROM unnest(%s::text[]) a (who)`,
		pools,
		rows(`o.state = s.state AND o.state NOT IN ('completed', 'failed', 'cancelled')`), w.arg(pq.Array(open)),
		asksWhom, rows(`o.state = 'action_required' AND `+w.asked("o")+` = (a.who = '`+string(provision.AsksCustomer)+`')`),
		w.arg(pq.Array([]provision.Addressee{provision.AsksCustomer, provision.AsksOperator})))
	if endedSince != nil {
		query += `
UNION ALL
SELECT '` + hasEnded + `', ` + rows(w.endedBetween("o", endedSince, nil))
	}
	return query, w.args
}

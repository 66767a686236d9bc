package postgres

import (
	"fmt"
	"strings"

	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// listed is a table whose lists are filtered by pool, status and model. It has an index on its pool, status, model, time and
// id, in the direction of the list.
type listed struct {
	table, status, model, time string
	direction                  string
}

func (l listed) end(limit string) string {
	return fmt.Sprintf(" ORDER BY t.%s %s, t.id %[2]s LIMIT %s", l.time, l.direction, limit)
}

// poolFilter selects rows by pool, status and model. Nil marketplaces and empty fields select all.
type poolFilter[S any] struct {
	provider     string
	marketplaces []string
	environment  provision.Environment
	statuses     []S
	model        provision.Model
}

func (f poolFilter[S]) empty() bool {
	return f.marketplaces == nil && f.environment == "" && len(f.statuses) == 0 && f.model == ""
}

// conditions adds the conditions of the filter on the rows t.
func (f poolFilter[S]) conditions(l listed, w *where) {
	w.andIf(f.marketplaces != nil, "t.marketplace = ANY(?)", pq.Array(f.marketplaces))
	w.andIf(f.environment != "", "t.environment = ?", f.environment)
	w.andIf(len(f.statuses) > 0, "t."+l.status+" = ANY(?)", pq.Array(f.statuses))
	w.andIf(f.model != "", l.model+" = ?", f.model)
}

// scan returns the query for the ids of the first rows t that fulfill the conditions and pass the filter. It suits
// conditions that select few rows, and an empty filter.
func scan[S any](l listed, w *where, f poolFilter[S], limit int) string {
	f.conditions(l, w)
	return `SELECT t.id FROM ` + l.table + ` t` + w.sql() + l.end(w.arg(limit))
}

// merge returns the same as scan, and suits conditions that select many rows. It reads a page of each pool, status and
// model by the index and merges the pages, so it never reads past rows that the filter leaves out.
func merge[S any](l listed, w *where, f poolFilter[S], all []S, limit int) string {
	if len(f.statuses) == 0 {
		f.statuses = all
	}
	pools := where{args: w.args}
	pools.and("p.provider = ?", f.provider)
	pools.andIf(f.marketplaces != nil, "p.marketplace = ANY(?)", pq.Array(f.marketplaces))
	pools.andIf(f.environment != "", "p.environment = ?", f.environment)
	pools.andIf(f.model != "", "m.model = ?", f.model)
	statuses, end := pools.arg(pq.Array(f.statuses)), l.end(pools.arg(limit))
	w.args = pools.args
	return fmt.Sprintf(`
    SELECT t.id FROM pools p CROSS JOIN unnest(%s::text[]) s (status)
    CROSS JOIN (SELECT id FROM account_models UNION ALL SELECT '') m (model)
    CROSS JOIN LATERAL (
        SELECT t.id, t.%s FROM %s t
        WHERE t.provider = p.provider AND t.marketplace = p.marketplace AND t.environment = p.environment AND t.%s = s.status
          AND %s = m.model AND %s`, statuses, l.time, l.table, l.status, l.model, strings.Join(w.conditions, " AND ")) + end + `
    ) t` + pools.sql() + end
}

package postgres

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

var orderList = listed{table: "orders", status: "state", model: "COALESCE(t.model, '')", time: "created_at", direction: "DESC"}

// List lists the orders of the tenant, newest first. It reads nothing about their passwords.
func (s Orders) List(ctx context.Context, of provision.Tenant, f provision.OrderFilter) ([]provision.OrderView, error) {
	only, err := few(ctx, s.db, of, f)
	if err != nil {
		return nil, err
	}
	query, args := orderListQuery(of, f, only)
	return s.orderViews(ctx, of.Provider, query, false, args...)
}

// fewOrders is how many orders a search may find to be sorted. What finds more is searched for from the newest order on, where a page
// is then soon full. So neither reads many orders.
const fewOrders = 500

// few returns the ids of the orders that the search can find, or of those that ended in the span of time, when there are few. Nil:
// there are many, or the filter asks for neither.
func few(ctx context.Context, q queryer, of provision.Tenant, f provision.OrderFilter) (ids []string, err error) {
	for _, candidates := range []struct {
		wanted bool
		query  func() (string, []any)
	}{
		{f.Search != "", func() (string, []any) { return foundQuery(of, f.Search) }},
		{f.EndedAfter != nil || f.EndedBefore != nil, func() (string, []any) { return endedQuery(of, f) }},
	} {
		if !candidates.wanted {
			continue
		}
		query, args := candidates.query()
		ids = []string{}
		if err = q.SelectContext(ctx, &ids, query, args...); err != nil || len(ids) <= fewOrders {
			return ids, err
		}
	}
	return nil, nil
}

// searched is what a text may mean in a search for orders.
type searched struct {
	prefix   string // of an id or an alias, which are ASCII; ids are compared in lower case, and aliases have no other
	account  string // the id of an account
	customer string // the id of a customer
}

// meaning returns what a text may mean. Account ids may be grouped, as the AWS console shows them.
func meaning(text string) searched {
	return searched{prefix: strings.ToLower(text), account: strings.NewReplacer("-", "", " ", "").Replace(text), customer: text}
}

// afterAll follows every character of an id or an alias.
const afterAll = "\x7f"

const ofAccount = `SELECT a.order_id FROM accounts a WHERE a.provider = $1 AND a.id = ? AND ` + held

// foundQuery selects the orders of the provider that a text finds, but not many more than a few. The list then leaves out the orders of
// other marketplaces.
func foundQuery(of provision.Tenant, text string) (query string, args []any) {
	var w where
	w.arg(of.Provider)
	limit := w.arg(fewOrders + 1)
	m := meaning(text)
	const id, alias = `lower(t.id COLLATE "C")`, `(t.request ->> 'aws_account_alias') COLLATE "C"`
	var found []string
	find := func(condition, order string, args ...any) { // in the order of the index that finds them, lest PostgreSQL reads the table
		w.and(condition, args...)
		found = append(found, `(SELECT t.id FROM orders t WHERE t.provider = $1 AND `+w.conditions[len(w.conditions)-1]+
			` ORDER BY `+order+` LIMIT `+limit+`)`)
	}
	find(id+` >= ? AND `+id+` < ?`, id, m.prefix, m.prefix+afterAll)
	find(alias+` >= ? AND `+alias+` < ?`, alias, m.prefix, m.prefix+afterAll)
	find(`t.request #>> '{customer,id}' = ?`, `t.created_at DESC, t.id DESC`, m.customer)
	find(`t.id = (`+ofAccount+`)`, `t.id`, m.account)
	return strings.Join(found, " UNION ") + ` LIMIT ` + limit, w.args
}

// endedQuery selects the orders of the tenant that ended in the span of time, but not many more than a few.
func endedQuery(of provision.Tenant, f provision.OrderFilter) (query string, args []any) {
	var w where
	limit := w.arg(fewOrders + 1)
	ended := w.endedBetween("o", f.EndedAfter, f.EndedBefore)
	return `SELECT o.id FROM pools p CROSS JOIN LATERAL (SELECT o.id FROM orders o WHERE ` + ofPool + ` AND ` + ended + ` LIMIT ` + limit +
		`) o` + w.poolsOf(of) + ` LIMIT ` + limit, w.args
}

// ofPool selects the orders o of the pool p.
const ofPool = `o.provider = p.provider AND o.marketplace = p.marketplace AND o.environment = p.environment`

// poolsOf selects the pools p of the tenant. It may be used in several parts of a query.
func (w *where) poolsOf(of provision.Tenant) string {
	pools := where{args: w.args}
	pools.and("p.provider = ?", of.Provider)
	pools.andIf(of.Marketplaces != nil, "p.marketplace = ANY(?)", pq.Array(of.Marketplaces))
	w.args = pools.args
	return pools.sql()
}

// endedBetween returns the condition that an order has ended in a span of time.
func (w *where) endedBetween(order string, from, to *time.Time) string {
	condition := order + `.state IN ('completed', 'failed', 'cancelled')`
	if from != nil {
		condition += ` AND ` + order + `.state_since >= ` + w.arg(from)
	}
	if to != nil {
		condition += ` AND ` + order + `.state_since < ` + w.arg(to)
	}
	return condition
}

// asked is true when the failure of an order is a question to the customer. See provision.Failure.Asks.
func (w *where) asked(order string) string {
	return `COALESCE(` + order + `.failure ->> 'code' = ANY(` + w.arg(pq.Array(provision.CustomerCodes)) + `) AND ` + order +
		`.failure ->> 'field' <> '', false)`
}

// orderListQuery selects a page of orders. Unless it is nil, only these ids can match.
func orderListQuery(of provision.Tenant, f provision.OrderFilter, only []string) (query string, args []any) {
	page, args := orderPage(of, f, only)
	return orderViewSQL(page), args
}

// orderIDs returns the ids of a page of orders.
func orderIDs(ctx context.Context, q queryer, of provision.Tenant, f provision.OrderFilter) (ids []string, err error) {
	only, err := few(ctx, q, of, f)
	if err != nil {
		return nil, err
	}
	query, args := orderPage(of, f, only)
	err = q.SelectContext(ctx, &ids, query, args...)
	return ids, err
}

// orderPage selects the ids of a page of orders. Unless it is nil, only these ids can match.
func orderPage(of provision.Tenant, f provision.OrderFilter, only []string) (query string, args []any) {
	var w where
	w.and("t.provider = ?", of.Provider)
	w.andIf(only != nil, "t.id = ANY(?)", pq.Array(only))
	w.andIf(f.CreatedAfter != nil, "t.created_at >= ?", f.CreatedAfter)
	w.andIf(f.CreatedBefore != nil, "t.created_at < ?", f.CreatedBefore)
	if f.After != nil {
		w.and("(t.created_at, t.id) < (?, ?)", f.After.CreatedAt, f.After.ID)
	}
	w.andIf(f.CustomerID != "", "t.request #>> '{customer,id}' = ?", f.CustomerID)
	w.andIf(f.AccountID != "", "t.id = ("+ofAccount+")", f.AccountID)
	if f.Search != "" {
		m := meaning(f.Search) // in a form that no index serves: those that do have found too many
		w.and(`(left(lower(t.id), length(?)) = ? OR left(t.request ->> 'aws_account_alias', length(?)) = ?
            OR t.request #>> '{customer,id}' = ? OR t.id = (`+ofAccount+`))`, m.prefix, m.prefix, m.prefix, m.prefix, m.customer, m.account)
	}
	states := f.States
	if f.EndedAfter != nil || f.EndedBefore != nil {
		states = among(states, provision.EndedStates)
		w.conditions = append(w.conditions, w.endedBetween("t", f.EndedAfter, f.EndedBefore))
		w.andIf(f.EndedBefore != nil, "t.created_at < ?", f.EndedBefore)
	}
	if f.Asks != "" {
		states = among(states, []provision.OrderState{provision.ActionRequired})
		w.and(w.asked("t")+" = ?", f.Asks == provision.AsksCustomer)
	}
	in := poolFilter[provision.OrderState]{provider: of.Provider, marketplaces: of.Marketplaces, environment: f.Environment,
		statuses: states, model: f.Model}
	if f.Marketplace != "" {
		in.marketplaces = slices.DeleteFunc([]string{f.Marketplace}, func(m string) bool { return !of.Includes(m) })
	}
	if in.empty() || f.CustomerID != "" || f.AccountID != "" || only != nil {
		query = scan(orderList, &w, in, f.Limit)
	} else {
		query = merge(orderList, &w, in, provision.OrderStates, f.Limit)
	}
	return query, w.args
}

// noState is a state that no order has.
const noState = provision.OrderState("")

// among returns those of the wanted states that are possible. Wanted states that are empty are all of them.
func among(wanted, possible []provision.OrderState) []provision.OrderState {
	if len(wanted) == 0 {
		return possible
	}
	both := slices.DeleteFunc(slices.Clone(wanted), func(s provision.OrderState) bool { return !slices.Contains(possible, s) })
	if len(both) == 0 {
		return []provision.OrderState{noState}
	}
	return both
}

package postgres

import (
	"context"
	"regexp"
	"strings"

	"quartermaster/internal/provision"
)

var accountList = listed{table: "accounts", status: "status", model: "t.model", time: "added_at"}

// List lists the accounts of a provider, oldest first.
func (s Accounts) List(ctx context.Context, provider string, f provision.AccountFilter) (accounts []provision.Account, err error) {
	query, args := accountListQuery(provider, f)
	err = s.db.SelectContext(ctx, &accounts, query, args...)
	return accounts, err
}

func accountListQuery(provider string, f provision.AccountFilter) (query string, args []any) {
	page, args := accountPage(provider, f)
	return `SELECT ` + accountColumns + `
FROM (` + page + `) page CROSS JOIN LATERAL (SELECT * FROM accounts a WHERE a.id = page.id LIMIT 1) a
ORDER BY a.added_at, a.id`, args
}

// accountPage selects the ids of a page of accounts.
func accountPage(provider string, f provision.AccountFilter) (query string, args []any) {
	var w where
	w.and("t.provider = ?", provider)
	if f.After != nil {
		w.and("(t.added_at, t.id) > (?, ?)", f.After.AddedAt, f.After.ID)
	}
	few := either(&w, f.Awaiting, "t.ready_when_verified", "NOT t.ready_when_verified")
	few = either(&w, f.HasFinding, "t.finding <> ''", "t.finding = ''") || few
	in := poolFilter[provision.AccountStatus]{provider: provider, environment: f.Environment, statuses: f.Statuses, model: f.Model}
	if f.Marketplace != "" {
		in.marketplaces = []string{f.Marketplace}
	}
	switch {
	case f.Search != "":
		query = accountsFound(&w, in, f.Search, f.Limit)
	case few || in.empty():
		query = scan(accountList, &w, in, f.Limit)
	default:
		query = merge(accountList, &w, in, provision.AccountStatuses, f.Limit)
	}
	return query, w.args
}

// either adds one of two conditions, the first of which few accounts fulfill. It reports whether it has added that one.
func either(w *where, wanted *bool, yes, no string) bool {
	if wanted == nil {
		return false
	}
	if *wanted {
		w.and(yes)
	} else {
		w.and(no)
	}
	return *wanted
}

// nameWords are the words of an account's name and root e-mail. The index accounts_words has them.
const nameWords = `array_to_tsvector(words_of(t.name || ' ' || t.root_email))`

var beginningOfID = regexp.MustCompile(`^[0-9]{1,12}$`)

// accountsFound returns the query for the ids of the first accounts t that fulfill the conditions, pass the filter and match the text.
// Each way to match has an index of its own, so the query asks each of them alone.
func accountsFound(w *where, f poolFilter[provision.AccountStatus], text string, limit int) string {
	f.conditions(accountList, w)
	given := w.arg(text)
	ways := []string{
		nameWords + ` @@ (SELECT string_agg(quote_literal(word) || ':*', ' & ')::tsquery FROM unnest(words_of(` + given + `)) word)`,
		`t.order_id = ` + given + ` AND t.status IN ('provisioning', 'allocated', 'provisioning_failed')`, // see held
	}
	if beginningOfID.MatchString(text) {
		ways = append(ways, `t.id BETWEEN rpad(`+given+`, 12, '0') AND rpad(`+given+`, 12, '9')`)
	}
	for i, way := range ways {
		ways[i] = `SELECT t.id, t.added_at FROM accounts t` + w.sql() + ` AND ` + way
	}
	return `SELECT t.id FROM (` + strings.Join(ways, ` UNION `) + `) t` + accountList.end(w.arg(limit))
}

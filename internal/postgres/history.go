package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// History is who did what to the orders, accounts, pools and API keys of a provider.
type History struct{ db *database }

// source is a table of the history. The place of a source in the list of sources is part of cursors, so a new one goes to the end.
type source struct {
	kind    provision.HistoryKind
	columns string // without those that all tables have
	table   string
	// The conditions of filters; empty: no row of the table can match the filter.
	marketplace, environment, order, account, key string
}

var sources = []source{
	{
		kind: provision.HistoryOfOrders, table: "order_history",
		columns: `marketplace, environment, order_id, '' AS account_id, '' AS key_id, to_jsonb(from_state) AS from_value,
    to_jsonb(to_state) AS to_value, code, fields, refused, reason, '' AS webhook_id`,
		marketplace: "marketplace = ?", environment: "environment = ?", order: "order_id = ?",
	},
	{
		kind: provision.HistoryOfAccounts, table: "account_history",
		columns: `marketplace, environment, COALESCE(order_id, ''), account_id, '', to_jsonb(from_status), to_jsonb(to_status), code, fields,
    refused, reason, ''`,
		marketplace: "marketplace = ?", environment: "environment = ?", order: "order_id = ?", account: "account_id = ?",
	},
	{
		kind: provision.HistoryOfPools, table: "pool_history",
		columns:     `marketplace, environment, '', '', '', old_value, new_value, what, '{}', '', '', ''`,
		marketplace: "marketplace = ?", environment: "environment = ?",
	},
	{
		kind: provision.HistoryOfAccess, table: "access_history",
		columns: `'', '', '', '', key_id, NULL, NULL, what, '{}', '', detail, webhook_id`,
		key:     "key_id = ?",
	},
	{
		kind: provision.HistoryOfAccounts, table: "protected_account_history",
		columns: `'', '', '', account_id, '', NULL, NULL, what, '{}', '', COALESCE(NULLIF(reason, ''), note), ''`,
		account: "account_id = ?",
	},
}

// List lists the history of the tenant, newest entry first. Entries that belong to no marketplace are only for tenants that have
// all of them.
func (s History) List(ctx context.Context, of provision.Tenant, f provision.HistoryFilter) ([]provision.HistoryEntry, error) {
	query, args := historyQuery(of, f)
	if query == "" {
		return nil, nil
	}
	var rows []struct {
		provision.HistoryEntry
		FieldNames pq.StringArray `db:"fields"`
	}
	if err := s.db.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, err
	}
	entries := make([]provision.HistoryEntry, len(rows))
	for i, row := range rows {
		entries[i] = row.HistoryEntry
		entries[i].Fields = orNil(row.FieldNames)
	}
	return entries, nil
}

// historyQuery returns the query for the filter; empty when nothing can match it. The query reads a page of each table, by an
// index, and merges the pages. It reads each marketplace of the tenant alone, because an index has the entries of one marketplace
// in order, but not those of several.
func historyQuery(of provision.Tenant, f provision.HistoryFilter) (string, []any) {
	marketplaces := of.Marketplaces
	if f.Marketplace != "" || marketplaces == nil {
		marketplaces = []string{f.Marketplace}
	}
	if f.Marketplace != "" && !of.Includes(f.Marketplace) {
		return "", nil
	}
	var all where // numbers the arguments of all pages
	var pages []string
	for i, src := range sources {
		if !slices.Contains(f.Kinds, src.kind) {
			continue
		}
		for _, marketplace := range marketplaces {
			if w, possible := src.where(of.Provider, marketplace, i+1, f, all.args); possible {
				pages = append(pages, fmt.Sprintf(`
(SELECT at, %d AS source, seq, '%s' AS kind, actor, %s FROM %s%s ORDER BY at DESC, seq DESC LIMIT %s)`,
					i+1, src.kind, src.columns, src.table, w.sql(), w.arg(f.Limit)))
				all.args = w.args
			}
		}
	}
	if len(pages) == 0 {
		return "", nil
	}
	names := `at, source, seq, kind, actor, marketplace, environment, order_id, account_id, key_id, from_value, to_value, code, fields,
    refused, reason, webhook_id`
	query := `WITH entries (` + names + `) AS (` + strings.Join(pages, ` UNION ALL `) + `)
SELECT * FROM entries ORDER BY at DESC, source DESC, seq DESC LIMIT ` + all.arg(f.Limit)
	return query, all.args
}

// where returns the conditions of the filter for the source with that number, after the given arguments. It returns false when no
// row can match.
func (src source) where(provider, marketplace string, number int, f provision.HistoryFilter, args []any) (w where, possible bool) {
	w.args = args
	w.and("provider = ?", provider)
	possible = true
	for _, filter := range []struct{ wanted, condition string }{
		{f.OrderID, src.order}, {f.AccountID, src.account}, {f.KeyID, src.key},
		{marketplace, src.marketplace}, {string(f.Environment), src.environment},
	} {
		if filter.wanted == "" {
			continue
		}
		possible = possible && filter.condition != ""
		w.and(filter.condition, filter.wanted)
	}
	w.andIf(f.Actor != "", "actor = ?", f.Actor)
	w.andIf(!f.Since.IsZero(), "at >= ?", f.Since)
	w.andIf(!f.Until.IsZero(), "at < ?", f.Until)
	if after := f.After; after != nil {
		switch {
		case number < after.Source:
			w.and("at <= ?", after.At)
		case number == after.Source:
			w.and("(at, seq) < (?, ?)", after.At, after.Seq)
		default:
			w.and("at < ?", after.At)
		}
	}
	return w, possible
}

package postgres

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// notFound replaces sql.ErrNoRows by provision.ErrNotFound.
func notFound(err error, what string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s: %w", fmt.Sprintf(what, args...), provision.ErrNotFound)
	}
	return err
}

// ignoreNotFound returns nil instead of provision.ErrNotFound.
func ignoreNotFound(err error) error {
	if errors.Is(err, provision.ErrNotFound) {
		return nil
	}
	return err
}

// violates reports whether the constraint of that name refused the statement.
func violates(err error, constraint string) bool {
	pqErr := pq.As(err)
	return pqErr != nil && pqErr.Constraint == constraint
}

func affected(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// asJSON encodes a value of package provision's types, which never fails. It returns a string, because lib/pq may send bytes in
// PostgreSQL's binary format, which is another one for jsonb.
func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encoding %T: %v", v, err))
	}
	return string(text)
}

// decode decodes a jsonb column. For NULL it leaves into unchanged.
func decode(text []byte, into any) error {
	if text == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// where collects the conditions of a query and numbers their arguments.
type where struct {
	conditions []string
	args       []any
}

func (w *where) arg(v any) string {
	w.args = append(w.args, v)
	return fmt.Sprintf("$%d", len(w.args))
}

func (w *where) and(condition string, args ...any) {
	for _, v := range args {
		condition = strings.Replace(condition, "?", w.arg(v), 1)
	}
	w.conditions = append(w.conditions, condition)
}

func (w *where) andIf(wanted bool, condition string, v any) {
	if wanted {
		w.and(condition, v)
	}
}

// ofTenant selects the rows of the orders o that the tenant may see.
func (w *where) ofTenant(t provision.Tenant) {
	w.and("o.provider = ?", t.Provider)
	w.andIf(t.Marketplaces != nil, "o.marketplace = ANY(?)", pq.Array(t.Marketplaces))
}

func (w *where) sql() string { return " WHERE " + strings.Join(w.conditions, " AND ") }

func textArray(s []string) any {
	if s == nil {
		s = []string{}
	}
	return pq.Array(s)
}

// orNil returns nil for an empty array.
func orNil(s pq.StringArray) []string {
	if len(s) == 0 {
		return nil
	}
	return s
}

func joinSentences(s []string) string { return strings.Join(s, "; ") }

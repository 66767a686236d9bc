package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// Orders are the orders and the queues in which they wait for an account.
type Orders struct{ db *database }

const poolSettingsSQL = `
SELECT ` + poolSettingsColumns + ` FROM pools p WHERE p.provider = $1 AND p.marketplace = $2 AND p.environment = $3`

// settingsOf returns the settings that the pool has now. Errors: provision.ErrNotFound.
func settingsOf(ctx context.Context, q queryer, pool provision.Pool) (settings provision.PoolSettings, err error) {
	var row poolSettingsRow
	if err := q.GetContext(ctx, &row, poolSettingsSQL, pool.Provider, pool.Marketplace, pool.Environment); err != nil {
		return settings, notFound(err, "pool %s", pool)
	}
	return row.settings()
}

const openOrderSQL = `
INSERT INTO orders (provider, id, marketplace, environment, model, request, request_sha256, created_at, nonce, settings)
VALUES ($1, $2, $3, $4, NULLIF($5, ''), $6, $7, $8, COALESCE(NULLIF($9, '')::uuid, gen_random_uuid()), $10)
ON CONFLICT (provider, id) DO NOTHING`

const openedSQL = `
SELECT o.nonce, o.request, o.request_sha256, o.settings, ` + statusColumns + `
FROM orders o` + heldSQL + ` WHERE o.provider = $1 AND o.id = $2`

// keepSettingsSQL keeps the settings before, because attempts may have created something under them.
const keepSettingsSQL = `
UPDATE orders SET settings = $3, earlier_settings = earlier_settings || jsonb_build_array(settings)
WHERE provider = $1 AND id = $2 AND settings <> $3::jsonb`

// Open writes the row of the order, unless there is one, and returns what its workflow needs. The settings are
// those that the pool had when the order was first opened, or when RereadSettings last read them. When there is a
// row with the same id and another request, Open changes nothing and returns CodeOrderIDReused.
func (s Orders) Open(ctx context.Context, order provision.Order) (opened provision.OpenedOrder, err error) {
	hash := order.Request.Hash()
	err = s.db.tx(ctx, orderActor(order.OrderKey), func(tx *sqlx.Tx) error {
		opened = provision.OpenedOrder{}
		pool := order.Pool()
		settings, err := settingsOf(ctx, tx, pool)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, openOrderSQL, order.Provider, order.ID, pool.Marketplace, pool.Environment,
			order.Request.AccountModel, asJSON(order.Request), hash, order.AcceptedAt, order.Nonce, asJSON(settings)); err != nil {
			return err
		}
		var row struct {
			statusRow
			Nonce    string `db:"nonce"`
			Request  []byte `db:"request"`
			Hash     []byte `db:"request_sha256"`
			Settings []byte `db:"settings"`
		}
		if err := tx.GetContext(ctx, &row, openedSQL, order.Provider, order.ID); err != nil {
			return err
		}
		if !bytes.Equal(row.Hash, hash) {
			return &provision.Failure{Code: provision.CodeOrderIDReused, Field: "id",
				Reason: "an order with this id and a different request exists: use another id for the new order"}
		}
		opened.Nonce = row.Nonce
		if opened.OrderStatus, err = row.status(); err != nil {
			return err
		}
		if err := json.Unmarshal(row.Request, &opened.Request); err != nil {
			return err
		}
		return json.Unmarshal(row.Settings, &opened.Settings)
	})
	return opened, err
}

const settingsNowSQL = `
SELECT ` + poolSettingsColumns + ` FROM orders o JOIN pools p USING (provider, marketplace, environment)
WHERE o.provider = $1 AND o.id = $2`

// RereadSettings reads the current settings of the order's pool and stores them with the order. Errors:
// provision.ErrNotFound.
func (s Orders) RereadSettings(ctx context.Context, key provision.OrderKey) (settings provision.PoolSettings, err error) {
	err = s.db.tx(ctx, orderActor(key), func(tx *sqlx.Tx) error {
		var row poolSettingsRow
		if err := tx.GetContext(ctx, &row, settingsNowSQL, key.Provider, key.ID); err != nil {
			return notFound(err, "order %s", key)
		}
		if settings, err = row.settings(); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, keepSettingsSQL, key.Provider, key.ID, asJSON(settings))
		return err
	})
	return settings, err
}

// statusColumns and heldSQL select a statusRow.
const statusColumns = `o.state, o.failure, o.result, COALESCE(a.id, '') AS account_id`

const heldSQL = `
LEFT JOIN accounts a ON a.provider = o.provider AND a.order_id = o.id AND a.status IN ('provisioning', 'allocated')`

type statusRow struct {
	State     provision.OrderState `db:"state"`
	Failure   []byte               `db:"failure"`
	Result    []byte               `db:"result"`
	AccountID string               `db:"account_id"`
}

func (r statusRow) status() (provision.OrderStatus, error) {
	status := provision.OrderStatus{State: r.State, AccountID: r.AccountID}
	err := errors.Join(decode(r.Failure, &status.Failure), decode(r.Result, &status.Result))
	return status, err
}

const orderStatusSQL = `SELECT ` + statusColumns + ` FROM orders o` + heldSQL + ` WHERE o.provider = $1 AND o.id = $2`

// Status reads the order's state, account, failure and result. Errors: provision.ErrNotFound.
func (s Orders) Status(ctx context.Context, key provision.OrderKey) (provision.OrderStatus, error) {
	var row statusRow
	if err := s.db.GetContext(ctx, &row, orderStatusSQL, key.Provider, key.ID); err != nil {
		return provision.OrderStatus{}, notFound(err, "order %s", key)
	}
	return row.status()
}

// held is true when the account a belongs to the order that it names: it is in use, sold, or unclean after the order failed.
const held = `a.status IN ('provisioning', 'allocated', 'provisioning_failed')`

// orderViewSQL selects the orders whose ids the query page selects, in the order of the list. LIMIT makes PostgreSQL look up
// each of them by its key. The place of an order that waits is the number of orders from the one before it on the page to
// itself, plus the place of that one, so that a page of waiting orders reads the queue once.
func orderViewSQL(page string) string {
	return `
SELECT o.provider, o.id, o.request, o.request_sha256, o.state, o.state_since, o.step, o.failure, o.leftovers, o.notes, o.result,
       o.manual_steps_done, o.created_at, COALESCE(a.id, '') AS account_id,
       sum(queue.ahead) OVER (PARTITION BY o.state, o.marketplace, o.environment ORDER BY o.queue_position)::bigint AS place
FROM (
    SELECT o.*, lag(o.queue_position, 1, 0::bigint) OVER (PARTITION BY o.state, o.marketplace, o.environment
        ORDER BY o.queue_position) AS position_before
    FROM (` + page + `) page CROSS JOIN LATERAL (SELECT * FROM orders o WHERE o.provider = $1 AND o.id = page.id LIMIT 1) o
) o
CROSS JOIN LATERAL (
    SELECT count(*) AS ahead FROM orders q
    WHERE o.state = 'waiting_for_account' AND q.provider = o.provider AND q.marketplace = o.marketplace AND q.environment = o.environment
      AND q.state = 'waiting_for_account' AND q.queue_position > o.position_before AND q.queue_position <= o.queue_position
) queue
LEFT JOIN LATERAL (
    SELECT a.id FROM accounts a
    WHERE a.provider = o.provider AND a.order_id = o.id AND ` + held + ` LIMIT 1
) a ON true
ORDER BY o.created_at DESC, o.id DESC`
}

type orderRow struct {
	provision.OrderKey
	Request   []byte               `db:"request"`
	Hash      []byte               `db:"request_sha256"`
	State     provision.OrderState `db:"state"`
	Since     time.Time            `db:"state_since"`
	Step      provision.Step       `db:"step"`
	Failure   []byte               `db:"failure"`
	Leftovers pq.StringArray       `db:"leftovers"`
	Notes     pq.StringArray       `db:"notes"`
	Result    []byte               `db:"result"`
	Ticked    []byte               `db:"manual_steps_done"`
	CreatedAt time.Time            `db:"created_at"`
	AccountID string               `db:"account_id"`
	Place     int                  `db:"place"`
}

func (r orderRow) view() (provision.OrderView, error) {
	v := provision.OrderView{
		Order:       provision.Order{OrderKey: r.OrderKey, AcceptedAt: r.CreatedAt},
		RequestHash: r.Hash,
		State:       r.State,
		Since:       r.Since,
		Step:        r.Step,
		Leftovers:   r.Leftovers,
		Notes:       r.Notes,
		AccountID:   r.AccountID,
	}
	for _, field := range []struct {
		text []byte
		into any
	}{{r.Request, &v.Request}, {r.Failure, &v.Failure}, {r.Result, &v.Result}, {r.Ticked, &v.Ticked}} {
		if err := decode(field.text, field.into); err != nil {
			return v, fmt.Errorf("order %s holds JSON that cannot be read: %w", r.OrderKey, err)
		}
	}
	return v, nil
}

// Exists reports whether the order has a row.
func (s Orders) Exists(ctx context.Context, key provision.OrderKey) (exists bool, err error) {
	err = s.db.GetContext(ctx, &exists, `SELECT EXISTS (SELECT 1 FROM orders WHERE provider = $1 AND id = $2)`, key.Provider, key.ID)
	return exists, err
}

// Get reads one order of the tenant, and what is known about its password. Errors: provision.ErrNotFound.
func (s Orders) Get(ctx context.Context, of provision.Tenant, id string) (provision.OrderView, error) {
	var w where
	w.ofTenant(of)
	w.and("o.id = ?", id)
	views, err := s.orderViews(ctx, of.Provider, orderViewSQL(`SELECT o.id FROM orders o`+w.sql()), true, w.args...)
	if err != nil {
		return provision.OrderView{}, err
	}
	if len(views) == 0 {
		return provision.OrderView{}, fmt.Errorf("order %s/%s: %w", of.Provider, id, provision.ErrNotFound)
	}
	if views[0].State == provision.Completed {
		views[0].Password, err = passwordView(ctx, s.db, views[0].OrderKey, views[0].AccountID)
	}
	return views[0], err
}

// $3: with the failed attempts.
const stepsSQL = `
SELECT order_id, step, account_id, state, attempt, started_at, finished_at, problem,
    CASE WHEN $3 THEN failed_attempts END AS failed_attempts
FROM order_steps WHERE provider = $1 AND order_id = ANY($2) ORDER BY started_at, step`

type stepRow struct {
	OrderID string `db:"order_id"`
	provision.StepView
	Failed []byte `db:"failed_attempts"`
}

// view returns the step. The last attempt that failed is the one with the step's problem, if it has one.
func (r stepRow) view() (provision.StepView, error) {
	v := r.StepView
	if err := decode(r.Failed, &v.FailedAttempts); err != nil {
		return v, fmt.Errorf("step %s of order %s holds JSON that cannot be read: %w", v.Step, r.OrderID, err)
	}
	if n := len(v.FailedAttempts); n > 0 && v.Problem != "" {
		v.AWS = v.FailedAttempts[n-1].AWS
	}
	return v, nil
}

// orderViews reads the orders that a query selects, with the failed attempts of their steps if they are wanted.
func (s Orders) orderViews(ctx context.Context, provider, query string, attempts bool, args ...any) ([]provision.OrderView, error) {
	var rows []orderRow
	if err := s.db.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, err
	}
	views := make([]provision.OrderView, len(rows))
	waiting := false
	for i, row := range rows {
		var err error
		if views[i], err = row.view(); err != nil {
			return nil, err
		}
		waiting = waiting || row.State == provision.WaitingForAccount
	}
	if err := s.addSteps(ctx, provider, views, attempts); err != nil || !waiting {
		return views, err
	}
	stock, err := s.stockOf(ctx, provider)
	if err != nil {
		return nil, err
	}
	suspended, err := s.suspensionsOf(ctx, provider)
	if err != nil {
		return nil, err
	}
	for i := range views {
		if view := &views[i]; view.State == provision.WaitingForAccount {
			why := whyNone(stock[view.Pool()], view.Request.AccountModel, suspended[view.Pool()])
			view.Waiting = &provision.QueuePlace{Place: rows[i].Place, Why: why}
		}
	}
	return views, nil
}

// addSteps reads the steps of the orders.
func (s Orders) addSteps(ctx context.Context, provider string, views []provision.OrderView, attempts bool) error {
	if len(views) == 0 {
		return nil
	}
	index, ids := make(map[string]int, len(views)), make([]string, len(views))
	for i, view := range views {
		index[view.ID], ids[i] = i, view.ID
	}
	var steps []stepRow
	if err := s.db.SelectContext(ctx, &steps, stepsSQL, provider, pq.Array(ids), attempts); err != nil {
		return err
	}
	for _, row := range steps {
		step, err := row.view()
		if err != nil {
			return err
		}
		view := &views[index[row.OrderID]]
		view.Steps = append(view.Steps, step)
		if view.State == provision.Provisioning && step.AccountID == view.AccountID {
			view.Step = step.Step // the last one that began
		}
	}
	return nil
}

type stockCount struct {
	provision.Pool
	Model  provision.Model         `db:"model"`
	Status provision.AccountStatus `db:"status"`
	Coming bool                    `db:"coming"` // Invalid until its verification passes
	Count  int                     `db:"count"`
}

const stockSQL = `
SELECT provider, marketplace, environment, model, status, coming, sum(n) AS count FROM pool_counts
WHERE kind = 'account' AND provider = $1 GROUP BY provider, marketplace, environment, model, status, coming HAVING sum(n) > 0`

const suspensionsSQL = `
SELECT provider, marketplace, environment, claims_suspended_at, claims_suspended_because FROM pools WHERE provider = $1
    AND claims_suspended_at IS NOT NULL`

// suspensionsOf returns why claims are suspended, for those of the provider's pools where they are.
func (s Orders) suspensionsOf(ctx context.Context, provider string) (map[provision.Pool]string, error) {
	var rows []struct {
		provision.Pool
		Since   time.Time `db:"claims_suspended_at"`
		Because string    `db:"claims_suspended_because"`
	}
	if err := s.db.SelectContext(ctx, &rows, suspensionsSQL, provider); err != nil {
		return nil, err
	}
	suspended := map[provision.Pool]string{}
	for _, row := range rows {
		suspended[row.Pool] = provision.SuspensionMessage(row.Since, row.Because)
	}
	return suspended, nil
}

func (s Orders) stockOf(ctx context.Context, provider string) (map[provision.Pool][]stockCount, error) {
	var counts []stockCount
	if err := s.db.SelectContext(ctx, &counts, stockSQL, provider); err != nil {
		return nil, err
	}
	stock := map[provision.Pool][]stockCount{}
	for _, c := range counts {
		stock[c.Pool] = append(stock[c.Pool], c)
	}
	return stock, nil
}

// whyNone explains why a waiting order has no account: because claims are suspended, or with the number of
// accounts in each status.
func whyNone(stock []stockCount, model provision.Model, suspended string) string {
	if suspended != "" {
		return suspended
	}
	total, other, ahead, coming := 0, 0, 0, 0
	byStatus := map[provision.AccountStatus]int{}
	for _, c := range stock {
		total += c.Count
		switch {
		case model != "" && c.Model != model:
			other += c.Count
		case c.Status == provision.AccountReady:
			ahead += c.Count
		case c.Coming:
			coming += c.Count
		default:
			byStatus[c.Status] += c.Count
		}
	}
	if total == 0 {
		return "the pool has no accounts"
	}
	var parts []string
	for _, s := range []struct {
		status provision.AccountStatus
		words  string
	}{
		{provision.AccountAllocated, "allocated"}, {provision.AccountProvisioning, "with other orders"},
		{provision.AccountProvisioningFailed, "provisioning failed"}, {provision.AccountInvalid, "invalid"},
	} {
		if n := byStatus[s.status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s.words))
		}
	}
	if coming > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting for verification", coming))
	}
	if ahead > 0 {
		parts = append(parts, fmt.Sprintf("%d about to be given out", ahead))
	}
	if other > 0 {
		parts = append(parts, fmt.Sprintf("%d other model", other))
	}
	return fmt.Sprintf("0 of %d accounts match: %s", total, strings.Join(parts, ", "))
}

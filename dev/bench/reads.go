package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"quartermaster/dev/stack"
	"quartermaster/internal/provision"
)

// template is the order of which the sold ones are copies.
const template = "reads-template"

// sellSQL makes completed orders and their allocated accounts, numbers $1 to $2, in the way of real ones, so that histories, events and
// counts have what they would have.
var sellSQL = []string{`
INSERT INTO accounts (id, provider, marketplace, environment, model, name, root_email, role_arn, external_id, status, verified_at,
	checked_at)
SELECT id, t.provider, t.marketplace, t.environment, t.model, 'Sold', 'aws+' || id || '@acme.example',
	'arn:aws:iam::' || id || ':role/quartermaster', 'external-id-of-' || id, 'ready', now(), now()
FROM (SELECT '2220' || to_char(n, 'FM00000000') AS id FROM generate_series($1::int, $2::int) n) numbered
JOIN accounts t ON t.order_id = '` + template + `'`, `
INSERT INTO orders (provider, id, marketplace, environment, model, created_at, request, request_sha256, settings)
SELECT t.provider, 'sold-' || n, t.marketplace, t.environment, t.model, t.created_at - n * interval '1 second', t.request, t.request_sha256,
	t.settings
FROM orders t, generate_series($1::int, $2::int) n WHERE t.id = '` + template + `'`, `
UPDATE orders SET state = 'provisioning', step = 'inspect_account'
WHERE (provider, id) IN (SELECT 'acme', 'sold-' || n FROM generate_series($1::int, $2::int) n)`, `
UPDATE accounts SET status = 'provisioning', order_id = 'sold-' || right(id, 8)::int
WHERE id IN (SELECT '2220' || to_char(n, 'FM00000000') FROM generate_series($1::int, $2::int) n)`, `
UPDATE orders o SET state = 'completed', step = 'allocate_account',
	result = replace(t.result::text, a.id, '2220' || to_char(substr(o.id, 6)::int, 'FM00000000'))::jsonb
FROM orders t JOIN accounts a ON a.order_id = t.id
WHERE t.id = '` + template + `' AND (o.provider, o.id) IN (SELECT 'acme', 'sold-' || n FROM generate_series($1::int, $2::int) n)`, `
UPDATE accounts SET status = 'allocated'
WHERE id IN (SELECT '2220' || to_char(n, 'FM00000000') FROM generate_series($1::int, $2::int) n)`,
}

// measureReads measures what the API reads most, with many orders and accounts. The limit is a request for nothing and one read of a
// row, together.
func measureReads(ctx context.Context, s *servers, o Options) ([]Figure, error) {
	const marketplace = "reads"
	if err := s.stock(ctx, marketplace, 1); err != nil {
		return nil, err
	}
	if err := s.runOrder(ctx, marketplace, template); err != nil {
		return nil, err
	}
	o.say("adding %s completed orders with their accounts", thousands(o.Sold))
	for first := 1; first <= o.Sold; first += insertBatch {
		if err := inTxAll(ctx, s.product, sellSQL, first, min(first+insertBatch-1, o.Sold)); err != nil {
			return nil, err
		}
		if first/insertBatch%10 == 9 {
			o.say("%s of %s", thousands(first+insertBatch-1), thousands(o.Sold))
		}
	}
	if o.Unsold > 0 {
		o.say("adding %s other accounts", thousands(o.Unsold))
		first := s.accounts + 1
		s.accounts += o.Unsold
		pool := provision.Pool{Provider: stack.Provider, Marketplace: marketplace, Environment: provision.Production}
		if err := insertAccounts(ctx, s.product, pool, provision.AccountInvalid, first, s.accounts); err != nil {
			return nil, err
		}
	}
	if _, err := s.product.ExecContext(ctx, `VACUUM ANALYZE`); err != nil {
		return nil, err
	}
	var list, one, stock, nothing, row []time.Duration
	for i := range o.Reads {
		id := fmt.Sprintf("sold-%d", 1+i*o.Sold/o.Reads)
		for _, read := range []struct {
			path string
			took *[]time.Duration
		}{{"/livez", &nothing}, {"/v1/orders", &list}, {"/v1/orders/" + id, &one}, {"/v1/stock", &stock}} {
			took, err := timed(func() error { return get(ctx, s.Client, read.path) })
			if err != nil {
				return nil, err
			}
			*read.took = append(*read.took, took)
		}
		var state string
		took, err := timed(func() error {
			return s.product.GetContext(ctx, &state, `SELECT state FROM orders WHERE provider = $1 AND id = $2`, stack.Provider, id)
		})
		if err != nil {
			return nil, err
		}
		row = append(row, took)
	}
	figure := func(name string, took []time.Duration, most float64) Figure {
		return Figure{
			Name: fmt.Sprintf("%s, p50, with %s orders and %s accounts", name, thousands(o.Sold), thousands(o.Sold+o.Unsold)),
			Unit: "ms", Value: milliseconds(median(took)),
			Limit: milliseconds(median(nothing) + median(row)), LimitIs: "an empty request and one row", Target: atMost(most),
		}
	}
	return []Figure{
		figure("GET /v1/orders", list, 10), figure("GET of one order", one, 3), figure("GET /v1/stock", stock, 20),
	}, nil
}

// get reads a page of the API to its end.
func get(ctx context.Context, c *stack.Client, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Base+path, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.Key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: status %d: %s", path, response.StatusCode, text)
	}
	return err
}

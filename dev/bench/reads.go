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

// copySQL copies the template's rows of a table, for the numbers $1 to $2. The ids in them become those of the copy. %[2]s
// replaces more.
const copySQL = `
INSERT INTO %[1]s OVERRIDING USER VALUE
SELECT copied.* FROM generate_series($1::int, $2::int) n, accounts a, %[1]s t, LATERAL jsonb_populate_record(NULL::%[1]s,
	replace(replace(to_jsonb(t)::text, $3, 'sold-' || n), a.id, '2220' || to_char(n, 'FM00000000'))::jsonb || %[2]s) copied
WHERE a.order_id = $3 AND t.%[3]s = $3`

// sellSQL makes completed orders and their accounts, as copies of a real one with all of its rows.
var sellSQL = []string{
	fmt.Sprintf(copySQL, "orders", "jsonb_build_object('queue_position', NULL, 'created_at', t.created_at - n * interval '1 second')", "id"),
	fmt.Sprintf(copySQL, "accounts", "'{}'", "order_id"),
	fmt.Sprintf(copySQL, "order_steps", "'{}'", "order_id"),
	fmt.Sprintf(copySQL, "order_history", "'{}'", "order_id"),
	fmt.Sprintf(copySQL, "account_history", "'{}'", "order_id"),
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
		if err := asReplica(ctx, s.product, sellSQL, first, min(first+insertBatch-1, o.Sold), template); err != nil {
			return nil, err
		}
	}
	if o.Unsold > 0 {
		o.say("adding %s other accounts", thousands(o.Unsold))
		first := s.accounts + 1
		s.accounts += o.Unsold
		pool := provision.Pool{Provider: stack.Provider, Marketplace: marketplace, Environment: provision.Production}
		if err := insertUnsold(ctx, s.product, pool, first, s.accounts); err != nil {
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
	if err == nil && response.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("GET %s: status %d: %s", path, response.StatusCode, text)
	}
	return err
}

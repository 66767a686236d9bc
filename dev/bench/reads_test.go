package bench

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/migrations"
)

func TestSoldOrdersAreCopiesOfTheTemplate(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), setup(t)
	_, err := migrations.Up(ctx, s.product.DB)
	require.NoError(t, err)
	require.NoError(t, asReplica(ctx, s.product, []string{`
		INSERT INTO accounts (id, provider, marketplace, environment, model, name, root_email, role_arn, external_id, status, order_id)
		VALUES ('111000000001', 'acme', 'reads', 'production', 'ECAM', 'Stock', 'aws+111000000001@acme.example',
			'arn:aws:iam::111000000001:role/r', 'external-id-of-111000000001', 'allocated', '` + template + `')`, `
		INSERT INTO orders (provider, id, marketplace, environment, request, request_sha256, settings, created_at, state, result)
		VALUES ('acme', '` + template + `', 'reads', 'production', '{}', '', '{}', now(), 'completed', '{"account_id": "111000000001"}')`}))
	require.NoError(t, asReplica(ctx, s.product, sellSQL, 1, 3, template))
	var sold []string
	require.NoError(t, s.product.Select(&sold, `SELECT o.id || ' ' || a.id || ' ' || (o.result ->> 'account_id')
		FROM orders o JOIN accounts a ON a.order_id = o.id WHERE o.id LIKE 'sold-%' ORDER BY o.created_at DESC`))
	require.Equal(t, []string{
		"sold-1 222000000001 222000000001", "sold-2 222000000002 222000000002", "sold-3 222000000003 222000000003",
	}, sold)
}

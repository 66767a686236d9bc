package console

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestOrdersLook(t *testing.T) {
	s := setup(t)
	s.Seed.Order(t, "MP-2026-000117", provision.ActionRequired)
	s.Seed.Work(t, "MP-2026-000117")
	_, err := s.SQL.ExecContext(t.Context(), `
		UPDATE orders SET state_since = now() - interval '124 minutes' WHERE id = 'MP-2026-000117';
		UPDATE order_steps SET started_at = now() - interval '125 minutes' + ('{"iam_user": 2, "contacts": 2.1, "account_alias": 2.2, "cost_report": 2.3}'::jsonb ->> step)::float8 * interval '1 second',
		finished_at = now() - interval '125 minutes' + ('{"iam_user": 4, "contacts": 6, "account_alias": 3, "cost_report": 9, "inspect_account": 2}'::jsonb ->> step)::float8 * interval '1 second'
		WHERE step <> 'inspect_account';
		UPDATE order_steps SET started_at = now() - interval '125 minutes', finished_at = now() - interval '7498 seconds' WHERE step = 'inspect_account'`)
	require.NoError(t, err)
	for i, state := range []provision.OrderState{provision.Completed, provision.Compensating, provision.Failed, provision.WaitingForAccount} {
		s.Seed.Order(t, "MP-2026-00012"+string(rune('0'+i)), state)
	}
	_, err = s.SQL.ExecContext(t.Context(), `UPDATE orders SET leftovers = ARRAY['cost_report: AWS refuses s3:DeleteBucket: the bucket policy denies it'] WHERE id = 'MP-2026-000122'`)
	require.NoError(t, err)
	s.Seed.Order(t, "MP-2026-000124", provision.Cancelled)
	for _, v := range []view{desk, phone} {
		b := s.open(t, v)
		b.signIn(provision.RoleOperator)
		for name, path := range map[string]string{
			"orders": "orders", "order-asks": "orders/MP-2026-000117", "order-completed": "orders/MP-2026-000120",
			"order-undone": "orders/MP-2026-000121", "order-failed": "orders/MP-2026-000122", "order-waits": "orders/MP-2026-000123",
			"order-cancel": "orders/MP-2026-000117/cancel", "orders-all": "orders?selected=all", "orders-none": "orders?search=nothing", "filter": "filters/new?page=orders&query=pool%3Dx", "order-pw": "orders/MP-2026-000120/password",
		} {
			b.visit("/console/acme/" + path)
			b.keep(name + "-" + v.name)
		}
	}
}

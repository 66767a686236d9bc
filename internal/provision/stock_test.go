package provision

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStockCondition(t *testing.T) {
	t.Parallel()
	two, none := 2, 0
	model := func(m Model, ready int, threshold *int) ModelStock {
		return ModelStock{Model: m, StockCount: StockCount{Ready: ready}, Threshold: threshold}
	}
	for name, c := range map[string]struct {
		stock  PoolStock
		kind   AlertKind
		reason string
	}{
		"never used":                   {stock: PoolStock{}},
		"used up":                      {PoolStock{StockCount: StockCount{Allocated: 3}}, AlertEmpty, "no account is Ready"},
		"never used, with a threshold": {PoolStock{Threshold: &none}, AlertEmpty, "no account is Ready"},
		"an order waits":               {PoolStock{OrdersWaiting: 2}, AlertEmpty, "2 orders wait"},
		"no threshold":                 {stock: PoolStock{StockCount: StockCount{Ready: 1}}},
		"at the threshold": {PoolStock{StockCount: StockCount{Ready: 2}, Threshold: &two},
			AlertLow, "2 accounts are Ready, the threshold is 2"},
		"above the threshold": {stock: PoolStock{StockCount: StockCount{Ready: 3}, Threshold: &two}},
		"a model is low": {PoolStock{StockCount: StockCount{Ready: 9},
			Models: []ModelStock{model("ECAM", 1, &two), model("SPAM", 8, &two)}},
			AlertLow, "1 ECAM account is Ready, the threshold is 2"},
		"a model is empty": {PoolStock{StockCount: StockCount{Ready: 2},
			Models: []ModelStock{model("ECAM", 0, &none), model("SPAM", 2, &two)}},
			AlertEmpty, "no ECAM account is Ready; 2 SPAM accounts are Ready, the threshold is 2"},
		"a model without a threshold": {stock: PoolStock{
			StockCount: StockCount{Ready: 8},
			Models:     []ModelStock{model("ECAM", 0, nil), model("SPAM", 8, &two)},
		}},
	} {
		kind, reason := c.stock.Condition()
		require.Equal(t, c.kind, kind, name)
		require.Equal(t, c.reason, reason, name)
	}
}

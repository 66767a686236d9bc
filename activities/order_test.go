package activities

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// ordersOfPool are orders whose pool has these settings now.
type ordersOfPool struct {
	Orders
	settings provision.PoolSettings
}

func (s ordersOfPool) RereadSettings(context.Context, provision.OrderKey) (provision.PoolSettings, error) {
	return s.settings, nil
}

// What is empty on one side may be absent on the other, and that is no change.
func TestSettingsAreComparedAsJSON(t *testing.T) {
	t.Parallel()
	had := provision.PoolSettings{ReportKind: provision.DataExport, ReportRegion: "eu-central-1", ActionDeadline: time.Hour}
	same, other := had, had
	same.Instructions = map[provision.Model]string{}
	other.ReportRegion = "eu-west-1"
	for _, c := range []struct {
		settings provision.PoolSettings
		changed  bool
	}{{had, false}, {same, false}, {other, true}} {
		w := setup(t)
		w.acts.Orders = ordersOfPool{settings: c.settings}
		now, err := once(w, 1, w.acts.RereadSettings, SettingsHad{Order: w.w.Order, Had: had})
		require.NoError(t, err)
		require.Equal(t, c.changed, now.Changed)
		require.Equal(t, c.settings.ReportRegion, now.Settings.ReportRegion)
	}
}

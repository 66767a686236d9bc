package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThePgbenchScriptDoesWhatWasLogged(t *testing.T) {
	t.Parallel()
	log := "2026-11-26 09:00:00.000 UTC [17] LOG:  statement: ;\n" +
		"2026-11-26 09:00:00.000 UTC [17] LOG:  statement: BEGIN\n" +
		"2026-11-26 09:00:00.000 UTC [17] LOG:  execute <unnamed>: SELECT set_config('qm.actor', $1, true)\n" +
		"2026-11-26 09:00:00.000 UTC [17] DETAIL:  parameters: $1 = 'order acme/probe0'\n" +
		"2026-11-26 09:00:00.000 UTC [18] LOG:  checkpoint starting: time\n" +
		"2026-11-26 09:00:00.000 UTC [17] LOG:  execute <unnamed>: \n" +
		"\tSELECT id FROM orders\n" +
		"\tWHERE provider = $1 AND id = $2 AND model = $3\n" +
		"2026-11-26 09:00:00.000 UTC [17] DETAIL:  parameters: $1 = 'o''neil, $9 = ''x''', $2 = 'probe0', $3 = NULL\n" +
		"2026-11-26 09:00:00.000 UTC [17] LOG:  statement: COMMIT\n"
	require.Equal(t, "BEGIN;\n"+
		"SELECT set_config('qm.actor', ('order acme/pgbench-' || (:n)::text || ''), true);\n"+
		"SELECT id FROM orders\nWHERE provider = 'o''neil, $9 = ''x''' AND id = ('pgbench-' || (:n)::text || '') AND model = NULL;\n"+
		"COMMIT;\n\\set n :n + 1\n", pgbenchScript([]byte(log)))
}

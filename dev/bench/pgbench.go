package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"quartermaster/dev/stack"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

// probe is the prefix of the order whose claim PostgreSQL logs.
const probe = "probe"

// pgbench runs the statements of one claim again and again, for other orders.
type pgbench struct {
	program, script string
	address         *url.URL
}

// pgbenchScript lets PostgreSQL log the statements of a claim, and writes them into a script for pgbench. So the script is always what
// the program does.
func (s *servers) pgbenchScript(ctx context.Context, r *stockroom) (*pgbench, error) {
	address, err := url.Parse(r.url)
	if err != nil {
		return nil, err
	}
	var programs string
	if err := s.measures.GetContext(ctx, &programs, `SELECT setting FROM pg_config WHERE name = 'BINDIR'`); err != nil {
		return nil, err
	}
	log, err := s.logged(ctx, r, func(store *postgres.DB) error {
		_, err := store.Orders.Claim(ctx, provision.OrderKey{Provider: stack.Provider, ID: probe + "0"})
		return err
	})
	if err != nil {
		return nil, err
	}
	b := &pgbench{
		program: filepath.Join(programs, "pgbench"), address: address, script: filepath.Join(s.Dir, r.name+".pgbench"),
	}
	return b, os.WriteFile(b.script, []byte(pgbenchScript(log)), 0o600)
}

// logged returns what PostgreSQL logs while work is done on connections of its own, with every statement.
func (s *servers) logged(ctx context.Context, r *stockroom, work func(*postgres.DB) error) (log []byte, err error) {
	set := func(value string) error {
		_, err := s.measures.ExecContext(ctx, fmt.Sprintf("ALTER DATABASE %s SET log_statement = %s", r.name, value))
		return err
	}
	file := s.LogFile(stack.PartPostgres)
	before, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if err := set("'all'"); err != nil {
		return nil, err
	}
	store, err := postgres.Open(ctx, r.url)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(work(store), store.Close(), set("DEFAULT")); err != nil {
		return nil, err
	}
	all, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return all[before.Size():], nil
}

var (
	loggedStatement  = regexp.MustCompile(`LOG:  (?:statement|execute [^:]*): (.*)$`)
	loggedParameters = regexp.MustCompile(`DETAIL:  [Pp]arameters: (.*)$`)
	loggedParameter  = regexp.MustCompile(`\$(\d+) = ('(?:[^']|'')*'|NULL)`)
	placeholder      = regexp.MustCompile(`\$(\d+)`)
)

// pgbenchScript turns PostgreSQL's log of statements into a script for pgbench. Where a parameter contains the id of the probe, the
// script has the id of the order whose number is the variable n.
func pgbenchScript(log []byte) string {
	var statements []string
	lines := bufio.NewScanner(bytes.NewReader(log))
	lines.Buffer(nil, 1<<20)
	in := false // the line before belongs to a statement
	for lines.Scan() {
		line := lines.Text()
		if match := loggedStatement.FindStringSubmatch(line); match != nil {
			statements, in = append(statements, match[1]), true
			continue
		}
		if continued, ok := strings.CutPrefix(line, "\t"); ok && in {
			statements[len(statements)-1] += "\n" + continued
			continue
		}
		in = false
		if match := loggedParameters.FindStringSubmatch(line); match != nil && len(statements) > 0 {
			statements[len(statements)-1] = bind(statements[len(statements)-1], match[1])
		}
	}
	var script strings.Builder
	for _, statement := range statements {
		if statement = strings.Trim(statement, "; \n"); statement != "" {
			script.WriteString(statement + ";\n")
		}
	}
	return script.String() + "\\set n :n + 1\n"
}

// bind replaces the placeholders of a statement by its logged parameters.
func bind(statement, parameters string) string {
	values := map[string]string{}
	for _, match := range loggedParameter.FindAllStringSubmatch(parameters, -1) {
		value := match[2]
		if strings.Contains(value, probe+"0") {
			value = "(" + strings.ReplaceAll(value, probe+"0", "pgbench-' || (:n)::text || '") + ")"
		}
		values[match[1]] = value
	}
	return placeholder.ReplaceAllStringFunc(statement, func(p string) string { return values[p[1:]] })
}

var pgbenchRate = regexp.MustCompile(`tps = ([0-9.]+) \(without initial connection time\)`)

// run runs the script for n orders, of which the first has the number, and returns how many a second it did.
func (b *pgbench) run(ctx context.Context, first, n int) (float64, error) {
	password, _ := b.address.User.Password()
	command := exec.CommandContext(ctx, b.program, "--no-vacuum", "--protocol=prepared", "--client=1",
		"--transactions="+strconv.Itoa(n), "--define=n="+strconv.Itoa(first), "--file="+b.script,
		"--host="+b.address.Hostname(), "--port="+b.address.Port(), "--username="+b.address.User.Username(),
		strings.TrimPrefix(b.address.Path, "/"))
	command.Env = append(os.Environ(), "PGPASSWORD="+password)
	out, err := command.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	match := pgbenchRate.FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("pgbench printed no rate: %s", out)
	}
	return strconv.ParseFloat(string(match[1]), 64)
}

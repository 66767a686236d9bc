package main

import (
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"quartermaster/workflows"
)

// The compose file cannot be run where the tests run, so it is held against the code instead: its commands, variables and
// ports are those that the program knows.

type composeFile struct {
	Services map[string]struct {
		Image       string            `yaml:"image"`
		Build       string            `yaml:"build"`
		Command     []string          `yaml:"command"`
		Environment map[string]string `yaml:"environment"`
		Ports       []string          `yaml:"ports"`
		Volumes     []string          `yaml:"volumes"`
		DependsOn   map[string]struct {
			Condition string `yaml:"condition"`
		} `yaml:"depends_on"`
	} `yaml:"services"`
}

func compose(t *testing.T) composeFile {
	t.Helper()
	text, err := os.ReadFile("../../docker-compose.yml")
	require.NoError(t, err)
	var file composeFile
	require.NoError(t, yaml.Unmarshal(text, &file))
	return file
}

// variables lists what a command of the program reads from its environment, and what of it must be there.
func variables(t *testing.T, command string) (known, required []string) {
	t.Helper()
	parser, err := kong.New(&cli{})
	require.NoError(t, err)
	for _, node := range parser.Model.Children {
		if node.Name != command {
			continue
		}
		for _, flag := range node.Flags {
			known = append(known, flag.Envs...)
			if flag.Required {
				required = append(required, flag.Envs[0])
			}
		}
		return known, required
	}
	t.Fatalf("the program has no command %q", command)
	return nil, nil
}

func TestComposeKnowsTheProgramsCommandsAndVariables(t *testing.T) {
	t.Parallel()
	// Read by the SDKs of Temporal (contrib/envconfig) and AWS.
	readBySDKs := []string{
		"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE",
		"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	}
	ours := 0
	for name, service := range compose(t).Services {
		if service.Build == "" {
			continue
		}
		ours++
		require.NotEmpty(t, service.Command, name)
		known, required := variables(t, service.Command[0])
		for _, variable := range required {
			require.Contains(t, service.Environment, variable, "%s needs it to start", name)
		}
		if service.Command[0] == "migrate" {
			continue // gets the common block
		}
		for variable := range service.Environment {
			require.Contains(t, append(known, readBySDKs...), variable, "service %s sets a variable that no program reads", name)
		}
	}
	require.Equal(t, 3, ours, "migrate, api, worker")
}

func TestComposePublishesWhatTheProgramServesOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	file := compose(t)
	inside := map[string]bool{}
	for name, service := range file.Services {
		for _, port := range service.Ports {
			require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "service %s publishes %s to everybody", name, port)
			parts := strings.Split(port, ":")
			inside[name+":"+parts[2]] = true
		}
	}
	api := file.Services["api"].Environment
	for service, variables := range map[string][]string{
		"api":    {"QM_LISTEN", "QM_CODEC_LISTEN", "QM_METRICS_LISTEN"},
		"worker": {"QM_METRICS_LISTEN"},
	} {
		for _, variable := range variables {
			_, port, err := net.SplitHostPort(file.Services[service].Environment[variable])
			require.NoError(t, err)
			require.True(t, inside[service+":"+port], "%s of %s serves on %s, which is not published", variable, service, port)
		}
	}
	require.Equal(t, "http://127.0.0.1:8233", api["QM_CODEC_ORIGIN"], "the Web UI's published address")
	require.Contains(t, file.Services["temporal-ui"].Ports, "127.0.0.1:8233:8080")
	require.Contains(t, file.Services["temporal-ui"].Environment["TEMPORAL_CODEC_ENDPOINT"], ":8234")
	require.True(t, inside["temporal:7233"])
}

func TestComposeStartsThingsInTheOrderTheyNeedEachOther(t *testing.T) {
	t.Parallel()
	file := compose(t)
	for name, service := range file.Services {
		for needed := range service.DependsOn {
			require.Contains(t, file.Services, needed, "service %s needs it", name)
		}
		for _, volume := range service.Volumes {
			if source, _, _ := strings.Cut(volume, ":"); strings.HasPrefix(source, ".") {
				_, err := os.Stat("../../" + source)
				require.NoError(t, err, "service %s mounts it", name)
			}
		}
	}
	for _, name := range []string{"api", "worker"} {
		needs := file.Services[name].DependsOn
		require.Equal(t, "service_completed_successfully", needs["migrate"].Condition)
		require.Equal(t, "service_completed_successfully", needs["temporal-namespace"].Condition)
	}
	_, server, _ := strings.Cut(file.Services["temporal"].Image, ":")
	_, tools, _ := strings.Cut(file.Services["temporal-schema"].Image, ":")
	require.Equal(t, server, tools, "the schema is the server's")
}

func TestComposeMakesTheSearchAttributesOfTheWorkflows(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("../../deploy/compose/temporal-namespace.sh")
	require.NoError(t, err)
	match := regexp.MustCompile(`for name in ([A-Za-z ]+); do`).FindSubmatch(script)
	require.NotNil(t, match)
	require.Equal(t, slices.Sorted(maps.Keys(workflows.SearchAttributes())), strings.Fields(string(match[1])))
}

func TestComposeHidesTheSameInTheWebUIAsTheDevelopmentServer(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../dev/temporal-server/ui.go")
	require.NoError(t, err)
	hidden := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^\s+(\w+)Disabled:\s+true,`).FindAllSubmatch(source, -1) {
		words := regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(string(match[1]), "${1}_${2}")
		hidden["TEMPORAL_"+strings.ToUpper(words)+"_DISABLED"] = "true"
	}
	require.Contains(t, hidden, "TEMPORAL_WORKFLOW_RESET_DISABLED")
	inCompose := maps.Clone(compose(t).Services["temporal-ui"].Environment)
	maps.DeleteFunc(inCompose, func(name, _ string) bool { return !strings.HasSuffix(name, "_DISABLED") })
	require.Equal(t, hidden, inCompose)
}

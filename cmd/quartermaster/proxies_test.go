package main

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTrustedProxiesAreAddressesAndNetworks(t *testing.T) {
	t.Parallel()
	var options proxyOptions
	var want []netip.Prefix
	for given, meant := range map[string]string{"10.0.0.7": "10.0.0.7/32", "10.1.0.0/16": "10.1.0.0/16", "fd00::/8": "fd00::/8",
		"2001:db8::1": "2001:db8::1/128", "::ffff:10.0.0.8": "10.0.0.8/32"} {
		var n network
		require.NoError(t, n.UnmarshalText([]byte(given)))
		options.TrustedProxies, want = append(options.TrustedProxies, n), append(want, netip.MustParsePrefix(meant))
	}
	require.Equal(t, want, options.networks())

	for text, message := range map[string]string{
		"10.0.0.300":          `"10.0.0.300" is neither an address nor a network: write it as 10.0.0.7, 10.0.0.0/8 or fd00::/8`,
		"":                    "neither an address nor a network",
		"proxy.example":       "neither an address nor a network",
		"10.0.0.0/33":         "neither an address nor a network",
		"fe80::1%eth0":        "neither an address nor a network",
		"10.1.2.3/16":         "has bits beyond its length: write 10.1.0.0/16, or the address alone",
		"0.0.0.0/0":           "contains every address, so every client could choose its own",
		"::/0":                "contains every address",
		"::ffff:10.0.0.0/104": "is an IPv4 network",
	} {
		require.ErrorContains(t, new(network).UnmarshalText([]byte(text)), message)
	}
}

// The option is checked before the process connects to anything.
func TestTheAPIRefusesAProxyThatIsNone(t *testing.T) {
	t.Setenv("QM_TRUSTED_PROXIES", "10.0.0.0/8,everyone")
	_, err := call(t, "api", "--database-url=postgres://nowhere.invalid/x", "--public-url=http://127.0.0.1:1", "--seal-keys=none")
	require.ErrorContains(t, err, `--trusted-proxies: "everyone" is neither an address nor a network`)
}

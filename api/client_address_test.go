package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var proxies = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8:aaaa::/48")}

func TestTheClientsAddressIsTheRightmostThatNoTrustedProxyHas(t *testing.T) {
	t.Parallel()
	const proxy = "10.1.0.7:1234"
	for name, c := range map[string]struct {
		peer   string
		header []string
		want   string
	}{
		"no header":                         {proxy, nil, "10.1.0.7"},
		"an empty header":                   {proxy, []string{""}, "10.1.0.7"},
		"IPv4":                              {proxy, []string{"203.0.113.9"}, "203.0.113.9"},
		"IPv4 and a port":                   {proxy, []string{"203.0.113.9:4711"}, "203.0.113.9"},
		"IPv6":                              {proxy, []string{"2001:db8::9"}, "2001:db8::9"},
		"IPv6 in brackets":                  {proxy, []string{"[2001:db8::9]"}, "2001:db8::9"},
		"IPv6 and a port":                   {proxy, []string{"[2001:db8::9]:4711"}, "2001:db8::9"},
		"IPv6 in quotes":                    {proxy, []string{`"[2001:db8::9]:4711"`}, "2001:db8::9"},
		"a zone":                            {proxy, []string{"fe80::9%eth0"}, "fe80::9"},
		"a zone and a port":                 {proxy, []string{"[fe80::9%eth0]:4711"}, "fe80::9"},
		"IPv4 mapped to IPv6":               {proxy, []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		"IPv4 mapped to IPv6, and a port":   {proxy, []string{"[::ffff:203.0.113.9]:4711"}, "203.0.113.9"},
		"spaces and tabs":                   {proxy, []string{"  198.51.100.1 ,\t203.0.113.9  "}, "203.0.113.9"},
		"empty entries":                     {proxy, []string{", 203.0.113.9,,"}, "203.0.113.9"},
		"several headers":                   {proxy, []string{"198.51.100.1", "203.0.113.9"}, "203.0.113.9"},
		"two proxies":                       {proxy, []string{"203.0.113.9, 10.1.0.8"}, "203.0.113.9"},
		"two proxies, IPv4 and IPv6":        {"[2001:db8:aaaa::1]:443", []string{"203.0.113.9, 10.1.0.8:55"}, "203.0.113.9"},
		"a mapped proxy":                    {"[::ffff:10.1.0.7]:1234", []string{"203.0.113.9"}, "203.0.113.9"},
		"what the client invented":          {proxy, []string{"198.51.100.1, 10.1.0.9, 203.0.113.9"}, "203.0.113.9"},
		"only proxies":                      {proxy, []string{"10.1.0.9, 10.1.0.8"}, "10.1.0.9"},
		"unknown":                           {proxy, []string{"203.0.113.9, unknown"}, "10.1.0.7"},
		"unknown, written by another proxy": {proxy, []string{"203.0.113.9, unknown, 10.1.0.8"}, "10.1.0.8"},
		"obfuscated":                        {proxy, []string{"203.0.113.9, _hidden"}, "10.1.0.7"},
		"unknown to the left":               {proxy, []string{"unknown, 203.0.113.9"}, "203.0.113.9"},
		"garbage":                           {proxy, []string{"\x00\xff[[:::,'"}, "10.1.0.7"},
		"a name":                            {proxy, []string{"client.example"}, "10.1.0.7"},
		"a port that is none":               {proxy, []string{"203.0.113.9:99999"}, "10.1.0.7"},
		"a peer that is not trusted":        {"10.2.0.7:1234", []string{"203.0.113.9"}, "10.2.0.7"},
		"a loopback peer":                   {"127.0.0.1:1234", []string{"203.0.113.9"}, "127.0.0.1"},
		"a socket without an address":       {"@", []string{"203.0.113.9"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.header}}
			require.Equal(t, c.want, clientAddress(proxies)(r))
		})
	}
	r := &http.Request{RemoteAddr: proxy, Header: http.Header{"X-Forwarded-For": {"203.0.113.9"}}}
	require.Equal(t, "10.1.0.7", clientAddress(nil)(r), "no proxy is trusted unless it is named")
}

// Whatever the header holds, the address is one that the header or the connection has.
func TestNoHeaderBreaksTheClientsAddress(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		header := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9a-f:.,\[\]%_ "]{0,60}`)), 0, 3).Draw(rt, "header")
		text := clientAddress(proxies)(&http.Request{RemoteAddr: "10.1.0.7:1", Header: http.Header{"X-Forwarded-For": header}})
		address, err := netip.ParseAddr(text)
		require.NoError(rt, err)
		require.Empty(rt, address.Zone())
		require.NotEmpty(rt, networkOf(text))
	})
}

func TestTheLogHasTheClientsAddress(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *Config) { c.TrustedProxies = proxies })
	r := httptest.NewRequest(http.MethodGet, "/livez", nil)
	r.RemoteAddr = "10.1.0.7:1234"
	r.Header.Set("X-Forwarded-For", "[2001:db8::9]:4711")
	require.Equal(t, http.StatusNoContent, serve(w.handler, r).Code)
	require.Equal(t, "2001:db8::9", fmt.Sprint(w.log.lines(t)[0]["ip"]))
}

func TestWhatCountsAsOneClient(t *testing.T) {
	t.Parallel()
	for address, network := range map[string]string{
		"203.0.113.9":           "203.0.113.9",
		"2001:db8:1:2:3:4:5:6":  "2001:db8:1:2::/64",
		"2001:db8:1:2::":        "2001:db8:1:2::/64",
		"2001:db8:1:3::1":       "2001:db8:1:3::/64",
		"::ffff:203.0.113.9":    "203.0.113.9",
		"64:ff9b::203.0.113.9":  "203.0.113.9",
		"64:ff9b:1::203.0.1.9":  "64:ff9b:1::/64",
		"fe80::1%eth0":          "fe80::/64",
		"":                      "",
		"no address whatsoever": "no address whatsoever",
	} {
		require.Equal(t, network, networkOf(address), address)
	}
}

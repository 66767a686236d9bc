package webhooks

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

func TestOnlyPublicAddressesAreCalled(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", // loopback
		"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1", "fec0::1", // private
		"169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", // link-local, metadata
		"100.64.0.1", "100.127.255.255", // carrier-grade NAT
		"224.0.0.1", "239.255.255.255", "ff02::1", "255.255.255.255", "240.0.0.1", // multicast, broadcast, reserved
		"0.0.0.0", "0.1.2.3", "::", // unspecified
		"::ffff:10.0.0.1", "::10.0.0.1", "::ffff:0:10.0.0.1", // IPv4 inside IPv6
		"64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b::", "64:ff9b:0:0:0:1:808:808", // NAT64
		"64:ff9b:1::", "64:ff9b:1::1", "64:ff9b:1::a00:1", "64:ff9b:1:a00:0:100::", "64:ff9b:1:a00:0:100:808:808", // of this network
		"64:ff9b:1:808:a9:fea9:fe00:0", "64:ff9b:1:80a:0:0:100:0", "64:ff9b:1::a:0:100:0",
		"2002:a9fe:a9fe::", "2002:a00:1::1", // 6to4
		"2001:0:1::1", "2001:0:808:808::f5ff:fffe", "2001:0:a00:1::f7f7:f7f7", // Teredo: the server, the client
		"192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1",
		"2001:db8::1", "3fff::1", "100::1", "5f00::1", // special
	} {
		require.ErrorIs(t, Policy{}.CheckAddress(netip.AddrPortFrom(netip.MustParseAddr(address), 443)), ErrForbidden, address)
	}
	require.ErrorIs(t, Policy{}.CheckAddress(netip.MustParseAddrPort("[fe80::1%eth0]:443")), ErrForbidden)
	require.ErrorIs(t, Policy{}.CheckAddress(netip.AddrPort{}), ErrForbidden)
	for _, address := range []string{"8.8.8.8", "::ffff:8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1",
		"64:ff9b::808:808", "64:ff9b:1::808:808", "2002:808:808::1", "2001:0:808:808::f7f7:f7f7"} {
		at := netip.AddrPortFrom(netip.MustParseAddr(address), 443)
		require.NoError(t, Policy{}.CheckAddress(at), address)
		require.ErrorIs(t, Policy{}.CheckAddress(netip.AddrPortFrom(at.Addr(), 22)), ErrForbidden, "a port that is not allowed")
		require.NoError(t, Policy{Ports: []int{443, 8443}}.CheckAddress(netip.AddrPortFrom(at.Addr(), 8443)))
	}
	trying := Policy{Loopback: true}
	require.NoError(t, trying.CheckAddress(netip.MustParseAddrPort("127.0.0.1:8080")))
	require.ErrorIs(t, trying.CheckAddress(netip.MustParseAddrPort("10.0.0.1:443")), ErrForbidden)
}

func TestURLsThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	for text, wanted := range map[string]string{
		"":                                                       "not a URL",
		"http://hooks.example.com/":                              `begins with "http://": use https`,
		"ftp://hooks.example.com/":                               "use https",
		"hooks.example.com":                                      "not a URL",
		"https:hooks.example.com":                                "not a URL",
		"//hooks.example.com/":                                   "use https",
		"https:///x":                                             "not a URL",
		"https://:443/x":                                         "not a URL",
		"https://hooks.example.com/%zz":                          `not a URL (invalid URL escape "%zz")`,
		"https://ho%6fks.example.com/":                           "not a URL (invalid URL escape",
		"https://[fd00::1/":                                      "not a URL (missing ']' in host)",
		"https://u:p@hooks.example.com/":                         "a user or a password",
		"https://@hooks.example.com/":                            "a user or a password",
		"https://hooks.example.com/#x":                           "has a fragment",
		"https://hooks.example.com/#":                            "has a fragment",
		"https://hooks.example.com/a b":                          `' ' at character 28 is not allowed in a URL: write it as %20`,
		" https://hooks.example.com/":                            "' ' at character 1",
		"https://hooks.example.com/\t":                           `'\t' at character 27`,
		"https://hooks.example.com/{id}":                         "'{' at character 27 is not allowed in a URL: write it as %7B",
		`https://hooks.example.com\x`:                            `'\\' at character 26`,
		"https://hooks.example.com/käse":                         "'ä' at character 28 is not ASCII: write it as %C3%A4",
		"https://bücher.example/":                                `write the name as "xn--bcher-kva.example"`,
		"https://☃☃.☃-.example/":                                 "use a name of letters, digits and hyphens",
		"https://hooks.-a.example/":                              `"-a" in the name "hooks.-a.example" is not a DNS label`,
		"https://hooks..example/":                                `"" in the name`,
		"https://hooks.ex!mple/":                                 `"ex!mple" in the name`,
		"https://" + strings.Repeat("x", 64) + ".example/":       "is not a DNS label",
		"https://" + strings.Repeat("x.", 130) + "example/":      "DNS allows at most 253",
		"https://hooks.example.com/" + strings.Repeat("x", 2048): "has 2074 characters: use at most 2048",
		"https://localhost/":                                     "this machine",
		"https://LOCALHOST./":                                    "this machine",
		"https://x.localhost/":                                   "this machine",
		"https://127.0.0.1/":                                     "this machine",
		"https://[::ffff:127.0.0.1]/":                            "this machine",
		"https://10.0.0.1/":                                      "not a public address",
		"https://169.254.169.254/latest":                         "not a public address",
		"https://[fd00::1]/":                                     "not a public address",
		"https://[64:ff9b::a9fe:a9fe]/":                          "not a public address",
		"https://[fe80::1%25eth0]/":                              "has a zone",
		"https://2130706433/":                                    "not a public name",
		"https://0x7f000001/":                                    "not a public name",
		"https://127.1/":                                         "not a public name",
		"https://intranet/":                                      "not a public name",
		"https://hooks.example.com:22/":                          "port 22 is not called",
		"https://hooks.example.com:99999/":                       "the port is not a number from 1 to 65535",
		"https://8.8.8.8:22/":                                    "port 22",
		"http://127.0.0.1:8080/":                                 "use https",
		"https://hooks.example.com/\x7f":                         "is not ASCII",
	} {
		require.Contains(t, Policy{}.CheckURL(text), wanted, text)
	}
	for _, text := range []string{"https://hooks.example.com/aws?x=1", "https://hooks.example.com:443/", "https://8.8.8.8/",
		"https://hooks.example.com", "HTTPS://Hooks.Example.COM./", "https://hooks_1.my_shop.example/", "https://xn--bcher-kva.example/",
		"https://hooks.example.com/a%20b/~x;(y)='z',*!$&+@:-_.?q=[1]", "https://[64:ff9b::808:808]/"} {
		require.Empty(t, Policy{}.CheckURL(text), text)
	}
	for _, text := range []string{"http://127.0.0.1:8080/x", "http://localhost:1/", "https://[::1]:8443/", "https://hooks.example.com/"} {
		require.Empty(t, Policy{Loopback: true}.CheckURL(text), text)
	}
	require.Contains(t, Policy{Loopback: true}.CheckURL("http://hooks.example.com/"), "use https")
}

// rebinding is a name server whose answer is public at first and this machine afterwards.
func rebinding(t *testing.T) (resolver *net.Resolver, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, socket.Close()) })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			var message dnsmessage.Message
			if message.Unpack(buffer[:n]) != nil {
				continue
			}
			message.Response, message.Authoritative, message.Additionals = true, true, nil
			if question := message.Questions[0]; question.Type == dnsmessage.TypeA {
				address := [4]byte{203, 0, 114, 1}
				if asked.Add(1) > 1 {
					address = [4]byte{127, 0, 0, 1}
				}
				message.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class},
					Body:   &dnsmessage.AResource{A: address},
				}}
			}
			packed, err := message.Pack()
			if err == nil {
				_, _ = socket.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp4", socket.LocalAddr().String())
	}}, asked
}

// A name that was public when it was looked up and is this machine when it is called: the connection itself is refused.
func TestANameThatIsPublicFirstAndPrivateThenIsRefusedAtTheDial(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	internal := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer internal.Close()
	at, err := url.Parse(internal.URL)
	require.NoError(t, err)
	port, err := strconv.Atoi(at.Port())
	require.NoError(t, err)
	resolver, asked := rebinding(t)
	first, err := resolver.LookupNetIP(t.Context(), "ip4", "hooks.rebinding.example")
	require.NoError(t, err)
	policy := Policy{Ports: []int{port}}
	require.NoError(t, policy.CheckAddress(netip.AddrPortFrom(first[0], uint16(port))),
		"who checks the name before the call lets it through")

	call := func(p Policy) error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://hooks.rebinding.example:"+at.Port(), nil)
		require.NoError(t, err)
		answer, err := p.client(resolver).Do(request)
		if err == nil {
			require.NoError(t, answer.Body.Close())
		}
		return err
	}
	require.ErrorIs(t, call(policy), ErrForbidden)
	require.Zero(t, hits.Load())
	require.Greater(t, asked.Load(), int32(1), "it was looked up again")
	// The negative control: without the check at the dial the call arrives.
	require.NoError(t, call(Policy{Loopback: true}))
	require.Equal(t, int32(1), hits.Load())
}

package webpushtest

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

func raw(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The example of RFC 8291, section 5 and appendix A.
func TestDecryptTheExampleOfTheStandard(t *testing.T) {
	key, err := ecdh.P256().NewPrivateKey(raw(t, "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
	if err != nil {
		t.Fatal(err)
	}
	auth := raw(t, "BTBZMqHH6r4Tts7J_aSIgg")
	body := raw(t, "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6"+
		"TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN")
	got, err := decrypt(key, auth, body)
	if err != nil || string(got) != "When I grow up, I want to be a watermelon" {
		t.Fatalf("%q, %v", got, err)
	}
	for i := range body {
		if i >= 16 && i < 20 {
			continue // the record's size is no part of what is authenticated
		}
		body[i] ^= 1
		if got, err := decrypt(key, auth, body); err == nil {
			t.Errorf("byte %d changed, and still %q", i, got)
		}
		body[i] ^= 1
	}
	for n := range body {
		if _, err := decrypt(key, auth, body[:n]); err == nil {
			t.Errorf("cut to %d bytes", n)
		}
	}
}

func TestVerifyIsStrict(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(2_000_000_000, 0)
	enc := base64.RawURLEncoding
	k := enc.EncodeToString(point)
	sign := func(head, claims string) string {
		text := enc.EncodeToString([]byte(head)) + "." + enc.EncodeToString([]byte(claims))
		sum := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + enc.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	}
	const head, origin = `{"typ":"JWT","alg":"ES256"}`, "https://push.example"
	claims := func(aud string, exp int64, sub string) string {
		return fmt.Sprintf(`{"aud":%q,"exp":%d,"sub":%q}`, aud, exp, sub)
	}
	good := sign(head, claims(origin, now.Unix()+3600, "mailto:a@b"))
	if got, err := verifyVAPID("vapid t="+good+", k="+k, origin, now); err != nil || got != k {
		t.Fatalf("%q, %v", got, err)
	}
	other := strings.Split(sign(head, claims(origin, now.Unix()+3601, "mailto:a@b")), ".")[2]
	for name, header := range map[string]string{
		"nothing":           "",
		"another scheme":    "WebPush " + good,
		"no key":            "vapid t=" + good,
		"no token":          "vapid k=" + k,
		"another algorithm": "vapid t=" + sign(`{"alg":"none"}`, claims(origin, now.Unix()+3600, "mailto:a@b")) + ",k=" + k,
		"another audience":  "vapid t=" + sign(head, claims(origin+"/", now.Unix()+3600, "mailto:a@b")) + ",k=" + k,
		"expired":           "vapid t=" + sign(head, claims(origin, now.Unix(), "mailto:a@b")) + ",k=" + k,
		"too long":          "vapid t=" + sign(head, claims(origin, now.Unix()+86401, "mailto:a@b")) + ",k=" + k,
		"no contact":        "vapid t=" + sign(head, claims(origin, now.Unix()+3600, "")) + ",k=" + k,
		"doubled contact":   "vapid t=" + sign(head, claims(origin, now.Unix()+3600, "mailto:mailto:a@b")) + ",k=" + k,
		"another signature": "vapid t=" + good[:strings.LastIndex(good, ".")+1] + other + ",k=" + k,
	} {
		if _, err := verifyVAPID(header, origin, now); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Signatures of modules: made here, cut at every byte, and mutated.

import { describe, expect, it } from 'vitest';

import { FormatError } from '../../src/errors.ts';
import { parseCmsSigner } from '../../src/kmod/cms.ts';
import { integerMagnitude, objectIdentifier } from '../../src/kmod/der.ts';
import { readSignature, unsignedSize } from '../../src/kmod/signature.ts';
import { random } from '../random.ts';
import { cms, COMMON_NAME, der, ECDSA_SHA256, signed } from './signed-module.ts';

const MODULE = Buffer.from('a module');
const NONE = new Uint8Array(0);
const bytes = (...values: number[]) => Uint8Array.from(values);

describe('readSignature', () => {
  it('reads an RSA signature', () => {
    expect(readSignature(signed(MODULE, cms()), 'x.ko')).toEqual({
      id: 'PKCS#7', signer: 'Test key', keyId: bytes(0x15, 0xfd), hashAlgorithm: 'sha256', algorithm: 'rsa', signature: bytes(1, 2, 3),
    });
  });

  it('reads an ECDSA signature', () => {
    const signature = der(0x30, der(0x02, bytes(5)), der(0x02, bytes(6)));
    expect(readSignature(signed(MODULE, cms({ algorithm: ECDSA_SHA256, digest: '2.16.840.1.101.3.4.2.2', signature })), 'x.ko')).toEqual({
      id: 'PKCS#7', signer: 'Test key', keyId: bytes(0x15, 0xfd), hashAlgorithm: 'sha384', algorithm: 'ecdsa-sha256',
      signature: Uint8Array.from(signature),
    });
  });

  it('reads a signer that is named by its key', () => {
    expect(readSignature(signed(MODULE, cms({ subjectKeyIdentifier: bytes(9, 8, 7) })), 'x.ko')).toMatchObject({ signer: '', keyId: bytes(9, 8, 7), hashAlgorithm: 'sha256' });
  });

  it('passes over certificates, revocation lists and attributes', () => {
    expect(readSignature(signed(MODULE, cms({ extras: true })), 'x.ko')).toEqual(readSignature(signed(MODULE, cms()), 'x.ko'));
  });

  it('takes the common name of the issuer, or else its last attribute', () => {
    const organization = ['2.5.4.10', 0x13, Buffer.from('An Organization')] as const;
    const country = ['2.5.4.6', 0x13, Buffer.from('DE')] as const;
    const name = [COMMON_NAME, 0x0c, Buffer.from('Grüße')] as const;
    const signerOf = (issuer: NonNullable<Parameters<typeof cms>[0]>['issuer']) => readSignature(signed(MODULE, cms({ issuer: issuer ?? [] })), 'x.ko')?.signer;
    expect([signerOf([organization, name, country]), signerOf([organization, country]), signerOf([])]).toEqual(['Grüße', 'DE', '']);
    expect(signerOf([[COMMON_NAME, 0x1e, Buffer.from('Key', 'utf16le').swap16()]])).toBe('Key');
    expect(signerOf([[COMMON_NAME, 0x0c, Buffer.from('Key\0hidden')]])).toBe('Key');
  });

  it('gives an unknown digest by its object identifier', () => {
    expect(readSignature(signed(MODULE, cms({ digest: '1.2.3.4', algorithm: '1.2.5' })), 'x.ko')).toMatchObject({ hashAlgorithm: '1.2.3.4', algorithm: '1.2.5' });
  });

  it('shows a signature that cannot be read as unknown', () => {
    expect(readSignature(signed(MODULE, Buffer.from('nonsense')), 'x.ko')).toEqual({
      id: 'PKCS#7', signer: '', keyId: NONE, hashAlgorithm: 'unknown', algorithm: undefined, signature: NONE,
    });
  });

  it('reads the old types, which name signer and key beside the signature', () => {
    const image = signed(MODULE, bytes(1, 2), { idType: 1, algo: 1, hash: 4, signer: Buffer.from('Fedora'), keyId: bytes(3, 4) });
    expect(readSignature(image, 'x.ko')).toEqual({
      id: 'X509', signer: 'Fedora', keyId: bytes(3, 4), hashAlgorithm: 'sha256', algorithm: 'RSA', signature: bytes(1, 2),
    });
  });

  it.each([
    ['no trailer', MODULE],
    ['nothing but the mark', Buffer.from('~Module signature appended~\n')],
    ['an empty file', NONE],
    ['a length of 0', signed(MODULE, NONE)],
    ['a length beyond the file', signed(MODULE, cms(), { signatureLength: 0xffffffff })],
    ['an unknown type', signed(MODULE, cms(), { idType: 3 })],
    ['an unknown algorithm', signed(MODULE, cms(), { algo: 2 })],
    ['an unknown digest', signed(MODULE, cms(), { hash: 9 })],
    ['a signer beyond the file', signed(NONE, bytes(1), { idType: 0, signatureLength: 2 })],
  ])('finds none where there is %s', (_, image) => {
    expect(readSignature(image, 'x.ko')).toBeUndefined();
    expect(unsignedSize(image)).toBe(image.length);
  });
});

describe('unsignedSize', () => {
  it('is the size of the module alone', () => {
    expect(unsignedSize(signed(MODULE, cms()))).toBe(MODULE.length);
    expect(unsignedSize(signed(MODULE, bytes(1), { idType: 0, signer: bytes(1, 2), keyId: bytes(3) }))).toBe(MODULE.length);
  });
});

describe('parseCmsSigner', () => {
  it('names the offset of the damage', () => {
    expect(() => parseCmsSigner(cms({ contentType: '1.2.840.113549.1.7.1' }), 'x.ko', 100)).toThrow(
      new FormatError({ file: 'x.ko', offset: 104, expected: 'SignedData (1.2.840.113549.1.7.2)', actual: '1.2.840.113549.1.7.1' }),
    );
  });

  it('throws FormatError for every truncation', () => {
    const whole = cms({ extras: true });
    for (let length = 0; length < whole.length; length++) {
      expect(() => parseCmsSigner(whole.subarray(0, length), 'x.ko'), `${length} bytes`).toThrow(FormatError);
    }
  });

  it('throws nothing but FormatError for mutations', () => {
    const whole = cms({ extras: true });
    const next = random(3);
    for (let round = 0; round < 5000; round++) {
      const mutated = Buffer.from(whole);
      for (let i = next(3); i >= 0; i--) mutated[next(mutated.length)] = next(256);
      try {
        parseCmsSigner(mutated, 'x.ko');
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
    }
  });

  it('refuses lengths without end and tags of several octets', () => {
    expect(() => parseCmsSigner(bytes(0x30, 0x80, 0, 0), 'x.ko')).toThrow('the length of a ContentInfo');
    expect(() => parseCmsSigner(bytes(0x30, 0x88, 1, 1, 1, 1, 1, 1, 1, 1), 'x.ko')).toThrow('the length of a ContentInfo');
    expect(() => parseCmsSigner(bytes(0x3f, 0x81, 0), 'x.ko')).toThrow('a tag of several octets');
  });
});

describe('integerMagnitude', () => {
  it('is what kmod shows as the key: no leading zeros, no sign', () => {
    const cases = [[[0], []], [[0, 0x80], [0x80]], [[0x7f, 1], [0x7f, 1]], [[0xff], [1]], [[0x80, 0], [0x80, 0]], [[0xff, 0], [1, 0]], [[], []]];
    expect(cases.map(([content = []]) => [...integerMagnitude(Uint8Array.from(content))])).toEqual(cases.map(([, magnitude]) => magnitude));
  });
});

describe('objectIdentifier', () => {
  it('is undefined for one that is cut, empty or endless', () => {
    expect([bytes(0x55, 0x84), bytes(), new Uint8Array(100).fill(1), new Uint8Array(9).fill(0xff), bytes(0x55, 4, 3), bytes(0x88, 0x37)].map(objectIdentifier))
      .toEqual([undefined, undefined, undefined, undefined, '2.5.4.3', '2.999']);
  });
});

//! Sizes that paths really have.

/// Path MTUs that are more likely than their neighbours, largest first: links (Ethernet, jumbo frames, FDDI,
/// `PPPoE`, clouds) and what is left of them under the usual encapsulations (VXLAN and Geneve 50 and 58 in 54,
/// `WireGuard` 60 and 80, IPIP 20, GRE 24, `IPsec`, 464XLAT), and the minimum of IPv6.
pub(super) const LIKELY: [u16; 40] = [
    9216, 9001, 9000, 8951, 8950, 8900, 8896, 4352, 1500, 1492, 1480, 1476, 1472, 1460, 1454, 1450, 1446,
    1442, 1440, 1430, 1422, 1420, 1412, 1410, 1400, 1392, 1390, 1380, 1376, 1370, 1360, 1350, 1340, 1320,
    1300, 1280, 1200, 1006, 576, 552,
];

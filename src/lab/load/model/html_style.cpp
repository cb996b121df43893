// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/html_style.h"

namespace fairlead::load {

const std::string_view kReportStyle = R"css(
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#171b22;--soft:#5a6472;
--rule:#e1e5ea;--grid:#e9ecf0;--accent:#0b5cad;--best:#e8f1fb;--shadow:0 1px 2px #1018280f;
--c0:#6b7684;--c1:#d55e00;--c2:#8a6d00;--c3:#0072b2;--c4:#007e5c;--c5:#a4478c;--c6:#3a8fb7;
--c7:#8c3b12}
@media (prefers-color-scheme:dark){:root{--page:#0f1318;--card:#171c23;--ink:#e8ecf1;
--soft:#9aa5b3;--rule:#2a313b;--grid:#262d36;--accent:#7fb8f5;--best:#1b2c40;--shadow:none;
--c0:#98a3b0;--c1:#ff8a4c;--c2:#e0bf45;--c3:#5bb5f0;--c4:#2bc79a;--c5:#e79acb;--c6:#8fd3ee;
--c7:#d9987a}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums;-webkit-font-smoothing:antialiased}
main{max-width:1180px;margin:0 auto;padding:44px 24px 72px}
header p{margin:0;color:var(--soft);max-width:72ch}
h1{font-size:30px;line-height:1.2;letter-spacing:-.018em;margin:0 0 8px;font-weight:680}
h2{font-size:19px;letter-spacing:-.01em;margin:44px 0 14px;font-weight:640}
h3{font-size:15.5px;margin:0 0 2px;font-weight:620}
.finding{font-size:18px;margin:22px 0 0;color:var(--ink);max-width:72ch}
.finding strong{font-weight:660}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:14px;
margin:26px 0 0;padding:0;list-style:none}
.tiles li,.card{background:var(--card);border:1px solid var(--rule);border-radius:12px;
box-shadow:var(--shadow)}
.tiles li{padding:14px 18px}
.tiles span{display:block;font-size:13px;color:var(--soft)}
.tiles b{display:block;font-size:25px;line-height:1.3;letter-spacing:-.02em;font-weight:640}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14.5px}
caption{text-align:left;color:var(--soft);font-size:13px;padding:12px 18px 4px;
caption-side:bottom}
th,td{padding:10px 16px;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
thead th{font-weight:560;color:var(--soft);font-size:13px;border-bottom:1px solid var(--rule);
vertical-align:bottom}
tbody tr+tr>*{border-top:1px solid var(--rule)}
tbody th{font-weight:600}
td.best{background:var(--best);font-weight:660}
td.bad{color:var(--c1);font-weight:660}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:18px}
figure.wide{grid-column:1/-1}
.stack{display:grid;gap:18px;align-content:stretch;min-width:0}
.rows{display:grid;gap:18px}
figure{margin:0;padding:18px 20px 14px;min-width:0}
figcaption p{margin:0 0 6px;color:var(--soft);font-size:13.5px}
figure>svg{display:block;width:100%;height:auto}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;margin:0 0 6px;padding:0;list-style:none;
font-size:13.5px}
.legend li{display:flex;align-items:center;gap:7px}
.swatch{width:28px;height:10px;flex:none}
svg text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--soft);
font-variant-numeric:tabular-nums}
svg .name{fill:var(--ink);font-size:14px}
svg .value{fill:var(--ink);font-weight:620;font-size:14px}
.grid{stroke:var(--grid)}
.base{stroke:var(--soft);stroke-width:1}
.reference{stroke:var(--ink);stroke-dasharray:2 4;opacity:.65}
.line{fill:none;stroke-width:2.3;stroke-linejoin:round;stroke-linecap:round}
.s0{--c:var(--c0)}.s1{--c:var(--c1)}.s2{--c:var(--c2)}.s3{--c:var(--c3)}
.s4{--c:var(--c4)}.s5{--c:var(--c5)}.s6{--c:var(--c6)}.s7{--c:var(--c7)}
.line{stroke:var(--c)}.fill,.dot{fill:var(--c)}
.line.s0{stroke-dasharray:1 5}.line.s1{stroke-dasharray:7 5}.line.s2{stroke-dasharray:9 4 1.5 4}
.line.s4{stroke-dasharray:13 5}.line.s5{stroke-dasharray:4 4}.line.s6{stroke-dasharray:9 3 1 3 1 3}
.line.s7{stroke-dasharray:2 3}.line.s3{stroke-width:3}
details{margin-top:8px;font-size:13.5px}
summary{cursor:pointer;color:var(--accent)}
details table{font-size:13px;margin-top:8px}
details th,details td{padding:5px 10px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:8px 24px;margin:0;padding:18px 22px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
pre{margin:0;padding:16px 20px;overflow-x:auto;font:14px/1.5 ui-monospace,SFMono-Regular,Menlo,
Consolas,monospace}
footer{margin-top:44px;color:var(--soft);font-size:13px}
a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--accent);
outline-offset:2px}
@media (max-width:560px){dl{grid-template-columns:1fr;gap:2px}dd{margin-bottom:10px}}
@media print{body{background:#fff}main{max-width:none;padding:0}.card,figure{break-inside:avoid}}
)css";

}  // namespace fairlead::load
